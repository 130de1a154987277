package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

const (
	definitionFile = "model.yaml"
	weightsFile    = "model.onnx"
)

// Parse reads the bytes of a model.yaml, fills in defaults and validates. file names it in errors, each of which
// gives file, line and key; all mistakes are reported at once, joined. Labels are not read.
func Parse(data []byte, file string) (Definition, error) {
	d, doc := parse(data)
	return d, doc.mistakes.join(doc.place(file))
}

func parse(data []byte) (Definition, *document) {
	var d Definition
	doc := parseDocument(data, &d)
	d.fill(doc.given)
	doc.mistakes = append(doc.mistakes, d.check().without(doc.mistakes)...)
	return d, doc
}

// load reads the definition in a model's folder and the files it names. fsys decides which links are followed. name is the folder's name, and where begins the paths in errors.
func load(fsys fs.FS, name, where string) (Definition, error) {
	data, err := readFile(fsys, definitionFile, maxDocument)
	if err != nil {
		return Definition{}, atPath(path.Join(where, definitionFile), err)
	}
	d, doc := parse(data)
	if d.Name != "" && d.Name != name {
		doc.mistakes.add("name", "%q is not the folder's name, which is %q", d.Name, name)
	}
	d.Name = name
	if len(doc.mistakes) == 0 {
		if err := d.readFiles(fsys, &doc.mistakes); err != nil {
			return Definition{}, fmt.Errorf("%s: %w", where, err)
		}
	}
	return d, doc.mistakes.join(doc.place(path.Join(where, definitionFile)))
}

// readFiles reads the labels and looks for the self-test's image. The error is the file system's, which may pass.
func (d *Definition) readFiles(fsys fs.FS, m *mistakes) error {
	if d.LabelsFile != "" {
		data, err := readFile(fsys, d.LabelsFile, maxLabelsFile)
		if err == nil {
			d.Labels, err = ParseLabels(data)
		}
		if passing(err) {
			return fmt.Errorf("%s: %w", d.LabelsFile, err)
		}
		if err != nil {
			m.add("labels", "%s: %v", d.LabelsFile, err)
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
			m.add("self_test.image", "%s: %v", d.SelfTest.Image, err)
		}
	}
	if len(d.Labels) > 0 {
		d.checkSelfTest(m)
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
