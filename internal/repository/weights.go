package repository

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxSelfTest is the largest image of a self-test, in bytes.
const maxSelfTest = 64 << 20

// Weights are a version's weights, checked.
type Weights struct {
	Path string // of model.onnx; ONNX Runtime expects external data next to it
	Size int64  // bytes of model.onnx and its external data
	// Quantized reports that the model multiplies integers by int8 weights.
	Quantized bool
	// SaturatesAlways reports that it does so with operators that ONNX Runtime 1.30 cannot make exact on processors whose
	// sums saturate: QLinearMatMul of opset 21 and later.
	SaturatesAlways bool
	// Reduced reports that its int8 weights have 7 bits and its activations are uint8, so that no sum of two products saturates.
	Reduced bool
}

// Weights checks a version's model.onnx before ONNX Runtime opens it. If it is another kind of file or incomplete, the error says
// what it is and what to do; so it does for external data that is missing, too short or elsewhere.
//
// Only files that are no complete protobuf message or have no graph are rejected. ONNX Runtime would reject them, too, but only
// with "Protobuf parsing failed".
func (e *Entry) Weights(v Version) (w Weights, err error) {
	defer func() {
		if err != nil {
			err = atPath(v.Path, err)
		}
	}()
	t, err := openTree(e.files, e.root)
	if err != nil {
		return Weights{}, err
	}
	defer t.Close()
	f, info, path, err := t.openFile(v.name)
	if err != nil {
		return Weights{}, withoutPath(err)
	}
	defer f.Close()
	file, err := inspect(f, info.Size())
	if err != nil {
		return Weights{}, err
	}
	w = Weights{Path: path, Size: info.Size(), Quantized: file.quantized,
		SaturatesAlways: file.quantized && file.matMul && file.onnxOpset >= 21, Reduced: file.quantized && !file.wideInt8}
	if len(file.external) > 0 {
		err = t.external(&w, v.name, file.external)
	}
	return w, err
}

// inspect parses the structure of an ONNX file. The error describes a file of another kind.
func inspect(f io.ReaderAt, size int64) (*onnxFile, error) {
	file, err := readONNX(f, size)
	if err == nil || errors.Is(err, errTooManyParts) {
		return file, nil
	}
	return nil, describe(err, f, size)
}

// describe turns an error of parsing a file into one that says which other format it has.
func describe(err error, f io.ReaderAt, size int64) error {
	switch {
	case err == nil, errors.Is(err, errTooManyParts):
		return err
	case size == 0:
		return errors.New("is empty; " + copyAgain)
	}
	head := make([]byte, min(size, headBytes))
	if n, readErr := f.ReadAt(head, 0); n < len(head) {
		return readErr
	}
	if text := describeFormat(head, size); text != "" {
		return errors.New("is " + text)
	}
	if errors.Is(err, errNotONNX) {
		return fmt.Errorf("%w: it begins with the bytes % x; want a model exported to ONNX", err, head[:min(len(head), 8)])
	}
	return err
}

// external finds the folder with the external data, which decides the path that ONNX Runtime gets: if model.onnx is a link, data
// is next to its target (Kubernetes) or next to the link (Hugging Face).
func (t *tree) external(w *Weights, name string, files map[string]int64) error {
	paths, err := t.hops(name, w.Path)
	if err != nil {
		return err
	}
	for _, path := range slices.Backward(paths) {
		var size int64
		size, err = t.dataOf(path, w.Path, files)
		if err == nil {
			w.Path, w.Size = path, w.Size+size
			return nil
		}
	}
	return err
}

// hops lists the paths of a file through its links, from the first to end, each in a folder without links.
func (t *tree) hops(name, end string) (paths []string, err error) {
	path := filepath.Join(t.dir, name)
	for range 40 {
		folder, err := t.files.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		path = filepath.Join(folder, filepath.Base(path))
		paths = append(paths, path)
		if path == end {
			return paths, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		if path = target; !filepath.IsAbs(target) {
			path = filepath.Join(folder, target)
		}
	}
	return nil, fmt.Errorf("%s resolves through more than 40 links", name)
}

// dataOf returns the size of the external data of a model at path; end is the target of its links.
func (t *tree) dataOf(path, end string, files map[string]int64) (sum int64, err error) {
	for _, location := range slices.Sorted(maps.Keys(files)) {
		size, err := t.data(path, end, location, files[location])
		if err != nil {
			return 0, fmt.Errorf("has weights in %.200q, %w", location, err)
		}
		sum += size
	}
	return sum, nil
}

// data checks one file of external data, which must have want bytes. ONNX Runtime reads it only below the folder of model.onnx or
// of its target.
func (t *tree) data(path, end, location string, want int64) (size int64, err error) {
	if !filepath.IsLocal(location) || location == "." {
		return 0, errors.New("which is not a file in the folder of model.onnx; export the model again, with external data next to it")
	}
	folder, _, ok := t.within(filepath.Dir(path))
	if !ok || folder != t.dir {
		return 0, fmt.Errorf("which is not searched for in %s", filepath.Dir(path))
	}
	name, err := filepath.Rel(t.dir, filepath.Join(filepath.Dir(path), location))
	if err != nil {
		return 0, err
	}
	f, info, at, err := t.openFile(name)
	if err != nil {
		return 0, fmt.Errorf("which must be in %s: %w", filepath.Dir(path), withoutPath(err))
	}
	defer f.Close()
	if !below(at, filepath.Dir(path)) && !below(at, filepath.Dir(end)) {
		return 0, fmt.Errorf("which is a link to %s: ONNX Runtime reads such data only from the folder of model.onnx; copy it there", at)
	}
	if info.Size() < want {
		return 0, tooShort(f, info.Size(), want)
	}
	return info.Size(), nil
}

// tooShort describes a file of external data that is too short.
func tooShort(f io.ReaderAt, size, want int64) error {
	head := make([]byte, min(size, headBytes))
	if _, err := f.ReadAt(head, 0); err == nil || errors.Is(err, io.EOF) {
		if text := cmp.Or(pointer(head, size), markup(head)); text != "" {
			return errors.New("which is " + text)
		}
	}
	return fmt.Errorf("which is truncated: it has %d bytes, and the model needs %d; %s", size, want, copyAgain)
}

// below reports whether a path is in a folder.
func below(path, folder string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && filepath.IsLocal(rel)
}

// Fingerprint changes when a version must be reloaded: with the definition but for its versions, with its labels, and with the resolved path, size and
// time of the self-test's image and of all files next to model.onnx; if the definition is inferred, also of those in the model's
// folder. Of the folder of an added ONNX file only external data and files that may describe the model count. The error includes
// that model.onnx cannot be opened now.
func (e *Entry) Fingerprint(v Version) (string, error) {
	t, err := openTree(e.files, e.root)
	if err != nil {
		return "", err
	}
	defer t.Close()
	names, err := e.reloadedFor(t, v)
	if err != nil {
		return "", err
	}
	if image := e.Definition.SelfTest.Image; image != "" {
		names = append(names, filepath.Join(e.own, image))
	}
	if f, _, err := t.open(v.name); err == nil {
		_ = f.Close()
	} else if isTemporary(err) { // Weights reports others
		return "", err
	}
	var b strings.Builder
	definition := e.Definition
	definition.Versions = Versions{} // which versions are served changes none of them
	fmt.Fprintf(&b, "%+v", definition)
	if e.Inferred != nil {
		fmt.Fprintf(&b, " %s %+v", e.Inferred.Exporter, e.Inferred.Origins)
	}
	for _, name := range names {
		if err := t.fingerprint(&b, name); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// reloadedFor lists the files of a version that its fingerprint includes.
func (e *Entry) reloadedFor(t *tree, v Version) ([]string, error) {
	if e.place != nil && e.place.file != "" {
		return e.watched, nil
	}
	names, err := t.list(filepath.Dir(v.name))
	if err != nil || e.Inferred == nil {
		return names, err
	}
	others, err := t.list(e.own)
	return append(names, slices.DeleteFunc(others, func(name string) bool { return strings.HasPrefix(filepath.Base(name), ".") })...), err
}

// fingerprint writes a file's resolved path, size and time, or the error if the rule for links rejects it.
func (t *tree) fingerprint(b *strings.Builder, name string) error {
	path, err := t.resolve(name)
	var refused *linkError
	if errors.As(err, &refused) {
		fmt.Fprintf(b, " %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	info, err := t.files.Stat(path)
	if err == nil && info.Mode().IsRegular() {
		fmt.Fprintf(b, " %s %d %d", path, info.Size(), info.ModTime().UnixNano())
	}
	return err
}

// SelfTestImage reads the image of the definition's self-test.
func (e *Entry) SelfTestImage() ([]byte, error) {
	t, err := openTree(e.files, e.root)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	data, err := readFile(folder{t, e.own}, e.Definition.SelfTest.Image, maxSelfTest)
	if err != nil {
		return nil, atPath(filepath.Join(e.Dir, e.Definition.SelfTest.Image), err)
	}
	return data, nil
}
