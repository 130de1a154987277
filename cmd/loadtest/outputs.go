package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"fovea/loadtest"
	"fovea/loadtest/report"

	"github.com/spf13/pflag"
)

// outputs are the files that a result is written to.
type outputs struct{ json, csv, html string }

func (o *outputs) add(f *pflag.FlagSet) {
	f.StringVar(&o.json, "json", "", "write the result to this file")
	f.StringVar(&o.csv, "csv", "", "write a line a level to this file")
	f.StringVar(&o.html, "html", "", "write a page with plots to this file")
}

// check tells before the load that a file cannot be written after it.
func (o *outputs) check() error {
	var errs []error
	for key, path := range map[string]string{"json": o.json, "csv": o.csv, "html": o.html} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			errs = append(errs, fmt.Errorf("%s: %s is a folder", key, path))
		} else if _, err := os.Stat(filepath.Dir(path)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(errs...)
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
