package inference

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"fovea/models"
)

// fingerprint tells whether a version must be loaded again: its definition and the sizes and times of its files, which
// are model.onnx and the weights that lie beside it.
func fingerprint(from models.Files, entry *models.Entry, n models.Version) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", entry.Definition)
	files, err := files(from, filepath.Dir(n.Path))
	if err != nil {
		return "", err
	}
	if image := entry.Definition.SelfTest.Image; image != "" {
		info, err := from.Stat(filepath.Join(entry.Dir, image))
		if err != nil {
			return "", err
		}
		files = append(files, info)
	}
	for _, file := range files {
		fmt.Fprintf(&b, " %s %d %d", file.Name(), file.Size(), file.ModTime().UnixNano())
	}
	return b.String(), nil
}

// files are the files in a folder, by name.
func files(from models.Files, folder string) (list []fs.FileInfo, err error) {
	entries, err := from.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		info, err := from.Stat(filepath.Join(folder, entry.Name())) // what a link leads to
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			list = append(list, info)
		}
	}
	return list, nil
}

// filesSize is the size of the files of a folder in bytes: a model's weights may lie beside model.onnx.
func filesSize(from models.Files, folder string) (sum int64, err error) {
	list, err := files(from, folder)
	for _, file := range list {
		sum += file.Size()
	}
	return sum, err
}
