package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"fovea/loadtest"
	"fovea/loadtest/report"

	"github.com/spf13/pflag"
)

// outputs are the files for the result.
type outputs struct{ json, csv, html string }

func (o *outputs) add(f *pflag.FlagSet) {
	f.StringVar(&o.json, "json", "", "write the result to this file")
	f.StringVar(&o.csv, "csv", "", "write one line per level to this file")
	f.StringVar(&o.html, "html", "", "write an HTML page with plots to this file")
}

// check reports, before the load, files that cannot be written.
func (o *outputs) check() error {
	var errs []error
	for _, file := range []struct{ key, path string }{{"json", o.json}, {"csv", o.csv}, {"html", o.html}} {
		if file.path == "" {
			continue
		}
		if err := writable(file.path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file.key, err))
		}
	}
	return errors.Join(errs...)
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

func (o *outputs) write(r *loadtest.Result) error {
	return errors.Join(
		toFile(o.json, r.Write),
		toFile(o.csv, func(w io.Writer) error { return report.CSV(w, r) }),
		toFile(o.html, func(w io.Writer) error { return report.HTML(w, []*loadtest.Result{r}) }),
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
