package repository

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"fovea/internal/config"
)

const (
	definitionFile = "model.yaml"
	weightsFile    = "model.onnx"
)

// parse parses a model.yaml, sets defaults and validates it, without its labels. The report has the position of every error.
func parse(data []byte, file string) (Definition, *config.Report) {
	var d Definition
	report := config.ParseStrict(data, file, &d)
	d.fill(report.Given)
	report.Add(d.check())
	return d, report
}

// load reads the definition in a model's folder and the files that it names. fsys decides which links are followed; where is
// the prefix of paths in errors.
func load(fsys fs.FS, name, where string) (Definition, error) {
	data, err := readFile(fsys, definitionFile, config.MaxFile)
	if err != nil {
		return Definition{}, atPath(path.Join(where, definitionFile), err)
	}
	d, report := parse(data, path.Join(where, definitionFile))
	var errs config.Errors
	if d.Name != "" && d.Name != name {
		errs.Add("name", "%q is not the folder's name, which is %q", d.Name, name)
	}
	d.Name = name
	if report.Err() == nil && len(errs) == 0 {
		if err := d.readFiles(fsys, &errs); err != nil {
			return Definition{}, fmt.Errorf("%s: %w", where, err)
		}
	}
	report.Add(errs)
	return d, report.Err()
}

// readFiles reads the labels and checks that the self-test's image exists. The error is a temporary one of the file system.
func (d *Definition) readFiles(fsys fs.FS, errs *config.Errors) (temporary error) {
	check := func(key, name string, err error) {
		switch {
		case isTemporary(err):
			temporary = cmp.Or(temporary, fmt.Errorf("%s: %w", name, err))
		case err != nil:
			errs.Add(key, "%s: %v", name, err)
		}
	}
	if d.LabelsFile != "" {
		data, err := readFile(fsys, d.LabelsFile, maxLabelsFile)
		if err == nil {
			d.Labels, err = d.parseLabels(data)
		}
		check("labels", d.LabelsFile, err)
	}
	if d.SelfTest.Image != "" {
		f, err := openRegular(fsys, d.SelfTest.Image)
		if err == nil {
			err = f.Close()
		}
		check("self_test.image", d.SelfTest.Image, err)
	}
	if len(d.Labels) > 0 {
		d.checkSelfTest(errs)
	}
	return temporary
}

// openRegular opens a regular file.
func openRegular(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	_, err = regular(f)
	return f, err
}

// regular describes an open file, and closes it unless it is a regular file.
func regular(f fs.File) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(withoutPath(err), f.Close())
	}
	return info, nil
}

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := openRegular(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than the %d bytes allowed", limit)
	}
	return data, nil
}

// withoutPath removes the path from fs errors whose message already names the file.
func withoutPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) && !errors.As(err, new(*deniedError)) {
		return e.Err
	}
	return err
}

// Limits of a labels file.
const (
	MaxLabels     = 100_000
	maxLabelsFile = 8 << 20
)

// ParseLabels parses labels, one per line, from class 0 on. White space around labels, a byte order mark and trailing empty
// lines are ignored; other empty lines would be classes without a name and are errors. Labels may repeat.
func ParseLabels(data []byte) ([]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.TrimRight(string(data), "\r\n\t ")
	if text == "" {
		return nil, errors.New("there are no labels; want one per line")
	}
	if n := strings.Count(text, "\n") + 1; n > MaxLabels {
		return nil, fmt.Errorf("there are %d labels; the limit is %d", n, MaxLabels)
	}
	labels := strings.Split(text, "\n")
	for i, label := range labels {
		label = strings.Trim(label, "\r\t ")
		if label == "" {
			return nil, fmt.Errorf("line %d is empty; want one label per line", i+1)
		}
		if message := config.Unprintable(label, false); message != "" {
			return nil, fmt.Errorf("line %d %s", i+1, message)
		}
		labels[i] = label
	}
	return labels, nil
}

// ParseDefinition parses a model.yaml without its labels, sets defaults and validates it. file is its name in errors.
func ParseDefinition(data []byte, file string) (Definition, error) {
	d, report := parse(data, file)
	return d, report.Err()
}
