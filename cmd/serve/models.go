package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"fovea/internal/cli"
	"fovea/internal/fetch"
	"fovea/internal/repository"

	"github.com/spf13/cobra"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "List, fetch and check models", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(
		listCommand(),
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
		ctx, stop := cli.WithSignals(c.Context())
		defer stop()
		return do(ctx, cfg, names, c.OutOrStdout())
	}}
}

func pullCommand() *cobra.Command {
	var all, asJSON bool
	var definitions string
	var c *cobra.Command
	c = modelsSubcommand("pull NAME…", "Fetch the weights of models", cobra.ArbitraryArgs,
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
			if asJSON {
				return pullAsJSON(ctx, cfg, names, out, c.ErrOrStderr())
			}
			var errs []error
			for _, name := range names {
				errs = append(errs, pullModel(ctx, cfg, name, out))
			}
			return errors.Join(errs...)
		})
	c.Flags().BoolVar(&all, "all", false, "all shipped models that have a download address")
	c.Flags().StringVar(&definitions, "definitions", "", "first link the definitions in this folder of the repository, such as .definitions, into the models' folders")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON at the end, and the progress on standard error")
	c.ValidArgsFunction = completeShipped
	return c
}

func pullModel(ctx context.Context, cfg Config, name string, progress io.Writer) error {
	return fetch.Pull(ctx, fetch.PullOptions{Dir: cfg.Repository.Dir, Name: name, Mirror: cfg.Repository.Mirror, Progress: progress})
}

// pullAsJSON pulls models and prints an object for each.
func pullAsJSON(ctx context.Context, cfg Config, names []string, out, progress io.Writer) error {
	type pulled struct {
		Model string `json:"model"`
		Error string `json:"error,omitempty"`
	}
	results, errs := []pulled{}, []error{}
	for _, name := range names {
		result := pulled{Model: name}
		if err := pullModel(ctx, cfg, name, progress); err != nil {
			result.Error = err.Error()
			errs = append(errs, err)
		}
		results = append(results, result)
	}
	return errors.Join(append(errs, cli.JSON(out, results))...)
}

// pullable lists the shipped models whose definitions have an address for their weights.
func pullable() []string {
	return slices.DeleteFunc(repository.Shipped(), func(name string) bool {
		d, err := repository.LoadShipped(name)
		return err != nil || d.Source.URL == ""
	})
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
