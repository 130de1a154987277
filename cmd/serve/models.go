package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

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
		checkCommand(),
		addCommand(),
		verifyCommand(),
		optimizeCommand(),
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
	var definitions string
	c := modelsSubcommand("pull NAME…", "Fetch the weights of models", cobra.ArbitraryArgs,
		func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			if all == (len(names) > 0) {
				return errors.New("models pull: name the models, or give --all")
			}
			if definitions != "" {
				if _, err := repository.LinkDefinitions(cfg.Repository.Dir, definitions); err != nil {
					return fmt.Errorf("models pull --definitions: %w", err)
				}
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
	c.Flags().StringVar(&definitions, "definitions", "", "first link the definitions in this folder of the repository, such as .definitions, into the models' folders")
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
	repo := openRepository(cfg.Repository.Dir)
	names, err := repo.Names()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	names = append(names, repository.Shipped()...)
	slices.Sort(names)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NAME\tTASK\tVERSIONS\tDEFINITION\tLICENSE")
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
		return name + "\tbroken: " + strings.ReplaceAll(err.Error(), "\n", "; ") + "\t\t\t"
	}
	versions := make([]string, len(entry.Versions))
	for i, v := range entry.Versions {
		versions[i] = fmt.Sprint(v.Number)
	}
	if found := entry.Misplaced(); found != "" {
		return name + "\tbroken: no weights in a version folder, but found " + found + "\t\t\t"
	}
	switch {
	case entry.Definition.Task == repository.Pipeline:
		versions = []string{"none"}
	case len(versions) == 0:
		versions = []string{"not fetched"}
	}
	d := entry.Definition
	return strings.Join([]string{name, string(d.Task), strings.Join(versions, " "), origin(entry.Inferred), d.Source.License}, "\t")
}

// origin says where a definition comes from.
func origin(inferred *repository.Inferred) string {
	if inferred == nil {
		return "model.yaml"
	}
	text := "inferred"
	if inferred.Exporter != "" {
		text += " from " + inferred.Exporter
	}
	if n := len(inferred.Assumptions()); n > 0 {
		text += ", " + counted(n, "assumption", "assumptions")
	}
	return text
}
