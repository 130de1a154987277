package repository

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

const (
	definitionFile = "model.yaml"
	weightsFile    = "model.onnx"
)

// Parse parses a model.yaml, sets defaults and validates it, without its labels. The error joins all errors, each with file,
// line and key.
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

// load reads the definition in a model's folder and the files that it names. fsys decides which links are followed; where is
// the prefix of paths in errors.
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

// readFiles reads the labels and checks that the self-test's image exists. The error is a temporary one of the file system.
func (d *Definition) readFiles(fsys fs.FS, m *mistakes) error {
	if d.LabelsFile != "" {
		data, err := readFile(fsys, d.LabelsFile, maxLabelsFile)
		if err == nil {
			d.Labels, err = parseLabels(data)
		}
		if isTemporary(err) {
			return fmt.Errorf("%s: %w", d.LabelsFile, err)
		}
		if err != nil {
			m.add("labels", "%s: %v", d.LabelsFile, err)
		}
	}
	if d.SelfTest.Image != "" {
		f, err := openRegular(fsys, d.SelfTest.Image)
		if err == nil {
			err = f.Close()
		}
		if isTemporary(err) {
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

// errNotRegular is the error of a folder, pipe or device.
var errNotRegular = errors.New("is not a regular file")

// openRegular opens a regular file.
func openRegular(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return nil, errors.Join(withoutPath(err), f.Close())
	}
	return f, nil
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
	maxLabels     = 100_000
	maxLabelsFile = 8 << 20
)

// parseLabels parses labels, one per line, from class 0 on. White space around labels, a byte order mark and trailing empty
// lines are ignored; other empty lines would be classes without a name and are errors. Labels may repeat.
func parseLabels(data []byte) ([]string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.TrimRight(string(data), "\r\n\t ")
	if text == "" {
		return nil, errors.New("there are no labels; want one per line")
	}
	if n := strings.Count(text, "\n") + 1; n > maxLabels {
		return nil, fmt.Errorf("there are %d labels; the limit is %d", n, maxLabels)
	}
	labels := strings.Split(text, "\n")
	for i, label := range labels {
		label = strings.Trim(label, "\r\t ")
		if label == "" {
			return nil, fmt.Errorf("line %d is empty; want one label per line", i+1)
		}
		if message := badText(label, false); message != "" {
			return nil, fmt.Errorf("line %d %s", i+1, message)
		}
		labels[i] = label
	}
	return labels, nil
}
