package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"fovea/internal/config"
)

const (
	definitionFile = "model.yaml"
	weightsFile    = "model.onnx"
)

// Parse reads a model.yaml, fills in defaults and validates it. All errors are reported together, each with its key and
// position in the file. Labels are not read.
func Parse(data []byte, file string) (Definition, error) {
	d, report := parse(data, file)
	return d, report.Err()
}

func parse(data []byte, file string) (Definition, *config.Report) {
	var d Definition
	report := config.ParseStrict(data, file, &d)
	d.fill(report.Given)
	report.Add(d.check())
	return d, report
}

// load reads the definition in a model's folder and the files it names. fsys decides which links are followed. name is the folder's name, and where begins the paths in errors.
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

// readFiles reads the labels and looks for the self-test's image. The error is the file system's, which may pass.
func (d *Definition) readFiles(fsys fs.FS, errs *config.Errors) error {
	if d.LabelsFile != "" {
		data, err := readFile(fsys, d.LabelsFile, maxLabelsFile)
		if err == nil {
			d.Labels, err = ParseLabels(data)
		}
		if passing(err) {
			return fmt.Errorf("%s: %w", d.LabelsFile, err)
		}
		if err != nil {
			errs.Add("labels", "%s: %v", d.LabelsFile, err)
		}
	}
	if d.SelfTest.Image != "" {
		f, err := openPlain(fsys, d.SelfTest.Image)
		if err == nil {
			err = f.Close()
		}
		if passing(err) {
			return fmt.Errorf("%s: %w", d.SelfTest.Image, err)
		}
		if err != nil {
			errs.Add("self_test.image", "%s: %v", d.SelfTest.Image, err)
		}
	}
	if len(d.Labels) > 0 {
		d.checkSelfTest(errs)
	}
	return nil
}

// errNotPlain says that a name is that of a folder, a pipe or a device.
var errNotPlain = errors.New("is not a plain file")

// openPlain opens a plain file.
func openPlain(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, plain(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotPlain
	}
	if err != nil {
		return nil, errors.Join(plain(err), f.Close())
	}
	return f, nil
}

func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := openPlain(fsys, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, plain(err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than the %d bytes allowed", limit)
	}
	return data, nil
}

// plain drops the path that fs errors carry: the message names the file itself. It keeps the cause.
func plain(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) && !errors.As(err, new(*deniedError)) {
		return e.Err
	}
	return err
}
