package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"fovea/internal/fileutil"
	"fovea/models"
)

// Shipped lists the models whose definitions are embedded, sorted.
func Shipped() []string {
	names, err := fs.Glob(models.Shipped, "*/"+definitionFile)
	if err != nil {
		panic(err) // only a malformed pattern is an error
	}
	for i, name := range names {
		names[i] = path.Dir(name)
	}
	return names
}

// LoadShipped returns an embedded definition, or an error that wraps ErrNotFound.
func LoadShipped(name string) (Definition, error) {
	fsys, err := shippedFolder(name)
	if err != nil {
		return Definition{}, err
	}
	return load(fsys, name, name)
}

func shippedFolder(name string) (fs.FS, error) {
	if !ValidName(name) {
		return nil, fmt.Errorf("%w: %.140q is not a model name", ErrNotFound, name)
	}
	if _, err := fs.Stat(models.Shipped, path.Join(name, definitionFile)); err != nil {
		return nil, fmt.Errorf("%w: %s is not shipped with Fovea", ErrNotFound, name)
	}
	return fs.Sub(models.Shipped, name)
}

// Install writes a shipped definition to dir/name unless that has a model.yaml. model.yaml is written last, so that a folder
// with one is complete. The error wraps ErrNotFound if the model is neither there nor shipped.
func Install(dir, name string) error {
	folder := filepath.Join(dir, name)
	if isFile(filepath.Join(folder, definitionFile)) {
		return nil
	}
	fsys, err := shippedFolder(name)
	if err != nil {
		return err
	}
	files, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		if file.Name() != definitionFile {
			if err := copyNew(fsys, file.Name(), folder); err != nil {
				return err
			}
		}
	}
	return copyNew(fsys, definitionFile, folder)
}

// Known returns nil if a repository has a definition of the model or it is shipped, and otherwise an error that wraps ErrNotFound.
func Known(dir, name string) error {
	if isFile(filepath.Join(dir, name, definitionFile)) {
		return nil
	}
	_, err := shippedFolder(name)
	return err
}

// copyNew copies a file that the folder lacks.
func copyNew(fsys fs.FS, name, folder string) error {
	target := filepath.Join(folder, name)
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	return fileutil.Replace(target, data, 0o644)
}
