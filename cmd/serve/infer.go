package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fovea/inference"
	"fovea/internal/exitcode"
	"fovea/internal/repository"

	"github.com/spf13/cobra"
)

// openRepository opens a repository whose models need no model.yaml.
func openRepository(dir string) *repository.Repository {
	repo := repository.Open(dir)
	repo.SetInfer(infer)
	return repo
}

// modelPaths checks the arguments of serve: paths of models. Anything else is meant as a command.
func modelPaths(c *cobra.Command, args []string) error {
	for _, arg := range args {
		if _, err := os.Stat(arg); err != nil && !isPath(arg) {
			return fmt.Errorf("unknown command %q for %q, and there is no such file", arg, c.CommandPath())
		}
	}
	return nil
}

// isPath reports whether an argument that may name a model is a path.
func isPath(arg string) bool {
	return strings.ContainsRune(arg, filepath.Separator) || strings.EqualFold(filepath.Ext(arg), ".onnx")
}

// isFileHere reports whether an argument that is no model of the repository is the name of a file.
func isFileHere(arg string) bool {
	info, err := os.Stat(arg)
	return err == nil && info.Mode().IsRegular()
}

// repositoryOf returns the repository to serve: the configured one, or the models at paths, each of which must load. both serves
// the configured one as well.
func repositoryOf(cfg *Config, paths []string, both bool) (*repository.Repository, error) {
	if len(paths) == 0 {
		return openRepository(cfg.Repository.Dir), nil
	}
	dir := ""
	if both {
		dir = cfg.Repository.Dir
	}
	repo := openRepository(dir)
	models, err := addPaths(repo, paths)
	if err != nil {
		return nil, exitcode.ForConfiguration(err)
	}
	switch in := &cfg.Inference; {
	case !both:
		in.Models = models
		if !slices.ContainsFunc(models, func(m inference.ModelConfig) bool { return m.Name == in.Default }) {
			in.Default = ""
		}
	case len(in.Models) > 0:
		in.Models = append(in.Models, models...)
	}
	return repo, nil
}

// addPaths adds the models at paths to a repository. The error says what is wrong with each, also with its definition.
func addPaths(repo *repository.Repository, paths []string) (models []inference.ModelConfig, err error) {
	var errs []error
	for _, path := range paths {
		name, err := repo.AddPath(path)
		if err == nil {
			_, err = repo.Load(name)
			err = askFor(err, "serve models add "+path)
			models = append(models, inference.ModelConfig{Name: name, Required: true})
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return models, errors.Join(errs...)
}

// askFor lists the questions of a definition that cannot be inferred, each with what to add to a command, or returns why it
// cannot be inferred at all. Other errors stay as they are.
func askFor(err error, command string) error {
	failed, ok := errors.AsType[*repository.InferError](err)
	if !ok {
		return err
	}
	unknown, ok := errors.AsType[*repository.UnknownError](err)
	if !ok {
		return fmt.Errorf("the definition cannot be inferred: %w", failed.Err)
	}
	var b strings.Builder
	b.WriteString("the files do not say everything that a definition needs")
	for _, q := range unknown.Questions {
		fmt.Fprintf(&b, "\n%s: %s; add one of these to %s:", q.Key, q.Reason, command)
		for _, candidate := range q.Candidates {
			fmt.Fprintf(&b, "\n    --set %s", shellQuote(q.Key+"="+candidate))
		}
		if len(q.Candidates) == 0 {
			fmt.Fprintf(&b, "\n    --set %s=…", q.Key)
		}
	}
	return errors.New(b.String())
}

// shellQuote quotes an argument where a shell needs it.
func shellQuote(arg string) string {
	if strings.ContainsFunc(arg, func(c rune) bool { return strings.ContainsRune(" \t\n'\"\\$`!*?[](){}<>|&;~#", c) }) {
		return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
	}
	return arg
}
