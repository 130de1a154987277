package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"fovea/internal/cli"
	"fovea/internal/repository"
	"fovea/internal/terminal"

	"github.com/spf13/cobra"
)

func listCommand() *cobra.Command {
	var asJSON bool
	c := modelsSubcommand("list", "List the models of the repository and those that come with Fovea", cobra.NoArgs,
		func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			if !asJSON {
				return listModels(ctx, cfg, names, out)
			}
			models, _, err := modelsOf(openRepository(cfg.Repository.Dir))
			if err != nil {
				return err
			}
			return cli.JSON(out, models)
		})
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// listed is a model, as models list prints it.
type listed struct {
	Name       string          `json:"name"`
	Task       repository.Task `json:"task,omitempty"`
	Versions   []int           `json:"versions"` // none: its weights are not fetched
	Definition string          `json:"definition,omitempty"`
	License    string          `json:"license,omitempty"`
	Error      string          `json:"error,omitempty"` // why it cannot be served
}

// modelsOf lists the models of a repository and those that are shipped, and what is misplaced in the repository.
func modelsOf(repo *repository.Repository) (models []listed, misplaced []error, err error) {
	names, err := repo.Names()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	names = append(names, repository.Shipped()...)
	slices.Sort(names)
	models = []listed{}
	for _, name := range slices.Compact(names) {
		models = append(models, listedModel(repo, name))
	}
	return models, repo.Misplaced(), nil
}

func listedModel(repo *repository.Repository, name string) listed {
	entry, err := repo.Load(name)
	if errors.Is(err, repository.ErrNotFound) {
		entry = &repository.Entry{}
		entry.Definition, err = repository.LoadShipped(name)
	}
	if err != nil {
		return listed{Name: name, Versions: []int{}, Error: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	if found := entry.Misplaced(); found != "" {
		return listed{Name: name, Versions: []int{}, Error: "no weights in a version folder, but found " + found}
	}
	d := entry.Definition
	model := listed{Name: name, Task: d.Task, Versions: []int{}, Definition: origin(entry.Inferred), License: d.Source.License}
	for _, v := range entry.Versions {
		model.Versions = append(model.Versions, v.Number)
	}
	return model
}

func listModels(_ context.Context, cfg Config, _ []string, out io.Writer) error {
	models, misplaced, err := modelsOf(openRepository(cfg.Repository.Dir))
	if err != nil {
		return err
	}
	t := terminal.NewTable("NAME", "TASK", "VERSIONS", "DEFINITION", "LICENSE")
	for _, m := range models {
		versions := strings.Trim(fmt.Sprint(m.Versions), "[]")
		switch {
		case m.Error != "":
			t.Cells(terminal.Cell{Text: m.Name}, terminal.Cell{Text: "broken: " + m.Error, Style: terminal.Red})
		case m.Task == repository.Pipeline:
			t.Row(m.Name, string(m.Task), "none", m.Definition, m.License)
		case versions == "":
			t.Cells(terminal.Cell{Text: m.Name}, terminal.Cell{Text: string(m.Task)}, terminal.Cell{Text: "not fetched", Style: terminal.Dim},
				terminal.Cell{Text: m.Definition}, terminal.Cell{Text: m.License})
		default:
			t.Row(m.Name, string(m.Task), versions, m.Definition, m.License)
		}
	}
	if err := t.Write(out); err != nil {
		return err
	}
	for _, problem := range misplaced {
		_, _ = fmt.Fprintf(out, "not a model: %v\n", problem)
	}
	return nil
}
