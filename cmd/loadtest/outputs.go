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

// outputs are the files that a result is written to.
type outputs struct {
	JSON string `yaml:"json" help:"write the result to this file"`
	CSV  string `yaml:"csv" help:"write one line per level to this file"`
	HTML string `yaml:"html" help:"write a page with plots to this file"`
}

// Check reports before the load that a file cannot be written after it. It implements config.Checker.
func (o outputs) Check(errs *config.Errors) {
	for _, file := range []struct{ key, path string }{{"json", o.JSON}, {"csv", o.CSV}, {"html", o.HTML}} {
		if file.path == "" {
			continue
		}
		if err := writable(file.path); err != nil {
			errs.Add(file.key, "%w", err)
		}
	}
}

// writable tries to open a file as it will be written, and leaves it as it is.
func writable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return nil // to open a pipe is to begin to write it
	}
	isNew := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666) // as os.Create has it
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil || !isNew {
		return err
	}
	made, err := filepath.EvalSymlinks(path) // a link to no file yet stays
	if err != nil {
		return err
	}
	return os.Remove(made)
}

func (o *outputs) write(r *loadtest.Result) error {
	return errors.Join(
		toFile(o.JSON, r.Write),
		toFile(o.CSV, func(w io.Writer) error { return report.CSV(w, r) }),
		toFile(o.HTML, func(w io.Writer) error { return report.HTML(w, []*loadtest.Result{r}) }),
	)
}

func toFile(path string, write func(io.Writer) error) (err error) {
	if path == "" {
		return nil
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
