package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"fovea/internal/config"
	"fovea/loadtest"
	"fovea/loadtest/report"
)

// outputs are the files for the result.
type outputs struct {
	JSON string `yaml:"json" help:"write the result to this file; -: to standard output, instead of the tables"`
	CSV  string `yaml:"csv" help:"write one line per level to this file; -: to standard output, instead of the tables"`
	HTML string `yaml:"html" help:"write an HTML page with plots to this file"`
}

// Check reports, before the load, files that cannot be written. It implements config.Checker.
func (o outputs) Check(errs *config.Errors) {
	if o.JSON == standardOutput && o.CSV == standardOutput {
		errs.Add("csv", "standard output takes either this or json")
	}
	for _, file := range []struct{ key, path string }{{"json", o.JSON}, {"csv", o.CSV}, {"html", o.HTML}} {
		if file.path == "" || file.path == standardOutput {
			continue
		}
		if err := writable(file.path); err != nil {
			errs.Add(file.key, "%w", err)
		}
	}
}

// writable tries to open a file for writing and leaves it unchanged.
func writable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return nil // opening a pipe would already start writing
	}
	isNew := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666) // like os.Create
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil || !isNew {
		return err
	}
	created, err := filepath.EvalSymlinks(path) // keep a dangling link
	if err != nil {
		return err
	}
	return os.Remove(created)
}

// standardOutput is what a file's name stands for.
const standardOutput = "-"

// toStdout reports whether an output takes the place of the tables.
func (o *outputs) toStdout() bool { return o.JSON == standardOutput || o.CSV == standardOutput }

func (o *outputs) write(stdout io.Writer, r *loadtest.Result) error {
	return errors.Join(
		toFile(stdout, o.JSON, r.Write),
		toFile(stdout, o.CSV, func(w io.Writer) error { return report.CSV(w, r) }),
		toFile(stdout, o.HTML, func(w io.Writer) error { return report.HTML(w, []*loadtest.Result{r}) }),
	)
}

func toFile(stdout io.Writer, path string, write func(io.Writer) error) (err error) {
	switch path {
	case "":
		return nil
	case standardOutput:
		return write(stdout)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := write(file); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
