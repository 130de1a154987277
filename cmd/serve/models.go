package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"fovea/inference"
	"fovea/internal/fetch"
	"fovea/internal/repository"

	"github.com/spf13/cobra"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "List, fetch and check models", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(
		modelsSubcommand("list", "List the models of the repository and those that come with Fovea", cobra.NoArgs, listModels),
		pullCommand(),
		modelsSubcommand("check NAME…", "Load models, run their self-tests, and print their inputs, outputs and device", cobra.MinimumNArgs(1), checkModels),
		verifyCommand(),
	)
	return c
}

type modelsFunc func(ctx context.Context, cfg Config, names []string, out io.Writer) error

func modelsSubcommand(use, short string, args cobra.PositionalArgs, do modelsFunc) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, names []string) error {
		cfg, err := configured(c)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		return do(ctx, cfg, names, c.OutOrStdout())
	}}
}

func pullCommand() *cobra.Command {
	var all bool
	c := modelsSubcommand("pull NAME…", "Fetch the weights of models", cobra.ArbitraryArgs,
		func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			if all == (len(names) > 0) {
				return errors.New("models pull: name the models, or give --all")
			}
			if all {
				names = pullable()
			}
			var errs []error
			for _, name := range names {
				errs = append(errs, fetch.Pull(ctx, fetch.PullOptions{
					Dir: cfg.Repository.Dir, Name: name, Mirror: cfg.Repository.Mirror, Progress: out}))
			}
			return errors.Join(errs...)
		})
	c.Flags().BoolVar(&all, "all", false, "all shipped models that have a download address")
	return c
}

// pullable lists the shipped models whose definitions have an address for their weights.
func pullable() []string {
	return slices.DeleteFunc(repository.Shipped(), func(name string) bool {
		d, err := repository.LoadShipped(name)
		return err != nil || d.Source.URL == ""
	})
}

func listModels(_ context.Context, cfg Config, _ []string, out io.Writer) error {
	repo := repository.Open(cfg.Repository.Dir)
	names, err := repo.Names()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names = append(names, repository.Shipped()...)
	slices.Sort(names)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tTASK\tVERSIONS\tLICENSE")
	for _, name := range slices.Compact(names) {
		_, _ = fmt.Fprintln(w, modelLine(repo, name))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, problem := range repo.Misplaced() {
		_, _ = fmt.Fprintf(out, "not a model: %v\n", problem)
	}
	return nil
}

func modelLine(repo *repository.Repository, name string) string {
	entry, err := repo.Load(name)
	if errors.Is(err, repository.ErrNotFound) {
		entry = &repository.Entry{}
		entry.Definition, err = repository.LoadShipped(name)
	}
	if err != nil {
		return name + "\tbroken: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\t\t"
	}
	versions := make([]string, len(entry.Versions))
	for i, v := range entry.Versions {
		versions[i] = fmt.Sprint(v.Number)
	}
	if found := entry.Misplaced(); found != "" {
		return name + "\tbroken: no weights in a version folder, but found " + found + "\t\t"
	}
	if len(versions) == 0 {
		versions = []string{"not fetched"}
	}
	d := entry.Definition
	return strings.Join([]string{name, string(d.Task), strings.Join(versions, " "), d.Source.License}, "\t")
}

// checkModels loads the models as the server would, each of them required.
func checkModels(ctx context.Context, cfg Config, names []string, out io.Writer) error {
	cfg.Inference.Models, cfg.Inference.Default = nil, ""
	for _, name := range names {
		cfg.Inference.Models = append(cfg.Inference.Models, inference.ModelConfig{Name: name, Required: true})
	}
	engine, err := inference.New(cfg.Inference, repository.Open(cfg.Repository.Dir), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = engine.Sync(ctx)
	for _, m := range engine.Models() {
		printModel(out, m)
	}
	engine.Terminate() // loads that are still running
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, engine.Close(closing))
}

// closeTimeout is how long a check waits for terminated loads, and a server that cannot listen for its engine.
const closeTimeout = time.Second

func printModel(out io.Writer, m inference.Status) {
	if m.Version == "" {
		_, _ = fmt.Fprintf(out, "%s: %s\n", m.Name, m.State)
		return
	}
	_, _ = fmt.Fprintf(out, "%s version %s: %s\n", m.Name, m.Version, m.State)
	if m.State != inference.Ready {
		return
	}
	_, _ = fmt.Fprintf(out, "  device   %s\n  task     %s, %d labels\n", m.Device, m.Task, len(m.Labels))
	if m.PartlyCPU {
		_, _ = fmt.Fprintln(out, "  note     some operators run on the CPU: ONNX Runtime has no CUDA kernels for them")
	}
	if m.SaturatingInt8 {
		_, _ = fmt.Fprintln(out, "  note     int8 sums may saturate at 16 bits on this CPU and give wrong results: see inference.saturating_int8")
	}
	for _, w := range m.Warnings {
		_, _ = fmt.Fprintf(out, "  warning  %s\n", w)
	}
	for _, t := range m.Inputs {
		_, _ = fmt.Fprintf(out, "  input    %s %s %v\n", t.Name, t.DType, t.Shape)
	}
	for _, t := range m.Outputs {
		_, _ = fmt.Fprintf(out, "  output   %s %s %v\n", t.Name, t.DType, t.Shape)
	}
	_, _ = fmt.Fprintf(out, "  batch    up to %d\n  queue    up to %d\n", m.MaxBatch, m.MaxQueue)
}
