package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/repository"
)

// staged is the staged repository, or a version folder of the model in it.
func (o *optimization) staged(version string) string {
	if version == "" {
		return filepath.Join(o.stage, "models")
	}
	return filepath.Join(o.stage, "models", o.source.model, version)
}

// nextVersion is the number after the highest folder of a model.
func nextVersion(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	highest := 0
	for _, entry := range entries {
		if n, err := strconv.Atoi(entry.Name()); err == nil && n <= repository.MaxVersion {
			highest = max(highest, n)
		}
	}
	if highest == repository.MaxVersion {
		return 0, fmt.Errorf("%s has the highest version, %d", dir, highest)
	}
	return highest + 1, nil
}

// copySource copies the definition and the version to the stage, without what an earlier run left there when it was killed.
func (o *optimization) copySource() error {
	for _, name := range []string{"models", "rows", "out"} {
		if err := os.RemoveAll(filepath.Join(o.stage, name)); err != nil {
			return err
		}
	}
	from, to := o.source.entry.Dir, filepath.Dir(o.staged("0"))
	if _, err := copyDefinition(from, to); err != nil {
		return err
	}
	for _, name := range []string{o.source.entry.Definition.LabelsFile, o.source.entry.Definition.SelfTest.Image} {
		if strings.Contains(name, "/") { // in a folder of the model
			if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
	}
	return copyTree(filepath.Dir(o.source.found().Path), o.staged(o.source.version()), func(string) bool { return true })
}

// copyTree copies the files of a folder whose names in it are wanted. Links become what they lead to.
func copyTree(from, to string, wanted func(name string) bool) error {
	return filepath.WalkDir(from, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !wanted(name) {
			return nil //nolint:nilerr // a dangling link; what is missing is reported when the copy is loaded
		}
		return copyFile(path, filepath.Join(to, name))
	})
}

// copyFile copies a file, as another name of it where the file system can do that. One that is there already is removed first, since
// it may be another name of a file, too.
func copyFile(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if from, err = filepath.EvalSymlinks(from); err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// writeRows writes what the model's inputs get for the images that calibrate: rows/NNNNN-INPUT.npy, and inputs.json with the names of
// the inputs. Images that cannot be decoded are left out.
func (o *optimization) writeRows(ctx context.Context, engine *inference.Engine) error {
	if o.to != toInt8 {
		return nil
	}
	source, err := engine.Variant(o.source.model, o.source.version(), asItIs)
	if err != nil {
		return err
	}
	defer source.Close()
	dir := filepath.Join(o.stage, "rows")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var names []string
	written := 0
	var failed error
	for _, image := range o.calibrating {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(o.images, image))
		if err != nil {
			return err
		}
		tensors, err := source.Tensors(ctx, data)
		if err != nil {
			failed = fmt.Errorf("%s: %w", image, err)
			o.say("%v", failed)
			continue
		}
		names = nil
		for i, t := range tensors {
			names = append(names, t.Name)
			file, err := npy(t)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d-%d.npy", written, i)), file, 0o644)
			}
			if err != nil {
				return err
			}
		}
		written++
	}
	if written == 0 {
		return fmt.Errorf("no image can be used to calibrate: %w", failed)
	}
	list, err := json.Marshal(names)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "inputs.json"), list, 0o644)
}

// npyTypes are NumPy's names of element types on little-endian processors.
var npyTypes = map[repository.DType]string{repository.Float32: "<f4", repository.Float16: "<f2", repository.Float64: "<f8", repository.Uint8: "|u1",
	repository.Int32: "<i4", repository.Int64: "<i8"}

// npy is a tensor as a file of NumPy's format 1.0 (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func npy(t inference.Tensor) ([]byte, error) {
	dtype := npyTypes[t.DType]
	if dtype == "" {
		return nil, fmt.Errorf("input %q has the type %s, which calibration does not support", t.Name, t.DType)
	}
	shape := ""
	for _, n := range t.Shape {
		shape += strconv.FormatInt(n, 10) + ","
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", dtype, shape)
	const fixed = 10                                                // magic, version and length
	header += strings.Repeat(" ", 63-(fixed+len(header))%64) + "\n" // the data begins at a multiple of 64
	file := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	return append(append(file, header...), t.Data...), nil
}
