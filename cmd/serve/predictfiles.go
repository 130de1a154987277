package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fovea/internal/bulk"
)

// find lists the images of the arguments and of --files-from, unless ctx ends before: standard input may never end, and a folder be large.
func (o *predictOptions) find(ctx context.Context, paths []string) ([]bulk.Input, error) {
	type found struct {
		list []bulk.Input
		err  error
	}
	done := make(chan found, 1)
	go func() { // ends with the process at the latest
		list, err := o.findAll(paths)
		done <- found{list, err}
	}()
	select {
	case f := <-done:
		return f.list, f.err
	case <-ctx.Done():
		return nil, fmt.Errorf("interrupted before the first image%w", quietly{ctx.Err()})
	}
}

func (o *predictOptions) findAll(paths []string) ([]bulk.Input, error) {
	if o.filesFrom != "" {
		names, err := o.names()
		if err != nil {
			return nil, fmt.Errorf("--files-from: %w", err)
		}
		paths = append(paths, names...)
	}
	if o.filesFrom == "-" && slices.Contains(paths, bulk.Stdin) {
		return nil, errors.New("standard input is either an image (-) or names of files (--files-from -)")
	}
	if len(paths) == 0 {
		return nil, errors.New("name images or folders, or - for an image on standard input")
	}
	var outputs []string
	for _, dir := range []string{o.annotate, o.crop} {
		if dir != "" {
			outputs = append(outputs, dir)
		}
	}
	return bulk.Find(paths, o.in, int64(o.cfg.HTTP.MaxImageBytes), outputs...)
}

func (o *predictOptions) names() (names []string, err error) {
	if o.filesFrom == "-" {
		return bulk.ReadNames(o.in)
	}
	file, err := os.Open(o.filesFrom)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return bulk.ReadNames(file)
}

// makeFolders makes those for annotated images and crops, before a model is loaded.
func (o *predictOptions) makeFolders(inputs []bulk.Input) error {
	for _, folder := range [][2]string{{"annotate", o.annotate}, {"crop", o.crop}} {
		flag, dir := folder[0], folder[1]
		if dir == "" {
			continue
		}
		if name := bulk.Overwritten(dir, inputs); name != "" && flag == "annotate" {
			return fmt.Errorf("--annotate: %s would overwrite %s; give another folder", dir, name)
		}
		if err := bulk.MakeFolder(dir); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
	}
	return nil
}

// chooseFormat chooses the format by the ending of the file, unless a flag tells it.
func (o *predictOptions) chooseFormat() error {
	chosen := 0
	for _, given := range []bool{o.json, o.jsonl, o.csv} {
		if given {
			chosen++
		}
	}
	if chosen > 1 {
		return errors.New("--json, --jsonl and --csv: give one of these")
	}
	if chosen == 1 {
		return nil
	}
	switch ending := strings.ToLower(filepath.Ext(o.output)); ending {
	case ".json":
		o.json = true
	case ".jsonl", ".ndjson":
		o.jsonl = true
	case ".csv":
		o.csv = true
	case "", ".txt":
	default:
		return fmt.Errorf("--output: %s is none of .json, .jsonl, .ndjson, .csv and, for a table, .txt; give one of these, or --json, --jsonl or --csv", ending)
	}
	return nil
}

// open opens the output. Without --resume a file that exists is replaced.
func (o *predictOptions) open(inputs []bulk.Input) (sink bulk.Sink, file *os.File, err error) {
	to := o.out
	if o.output != "" {
		if file, err = os.Create(o.output); err != nil {
			return nil, nil, err
		}
		to = file
	}
	switch {
	case o.json:
		sink = bulk.NewJSON(to)
	case o.jsonl:
		sink = bulk.NewJSONLines(to)
	case o.csv:
		sink = bulk.NewCSV(to, o.notes)
	default:
		sink = bulk.NewTable(to, inputs)
	}
	return sink, file, nil
}
