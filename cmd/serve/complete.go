package main

import (
	"slices"

	"fovea/internal/repository"

	"github.com/spf13/cobra"
)

// completeModels completes the names of models in the repository. Paths of models are completed by the shell.
func completeModels(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	cfg, err := configured(c)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names, _ := repository.Open(cfg.Repository.Dir).Names() // without them only files are completed
	return names, cobra.ShellCompDirectiveDefault
}

// completeModelThenFiles completes the name of a model, and then files.
func completeModelThenFiles(c *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return completeModels(c, args, word)
}

// completeShipped completes the names of models that come with Fovea.
func completeShipped(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return slices.Clone(repository.Shipped()), cobra.ShellCompDirectiveNoFileComp
}
