package inference

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"fovea/models"
)

// fingerprint tells whether a version must be loaded again: its definition and the sizes and times of its files, which
// are model.onnx and the weights that lie beside it.
func fingerprint(entry *models.Entry, n models.Version) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%+v", entry.Definition)
	files, err := files(filepath.Dir(n.Path))
	if err != nil {
		return "", err
	}
	if image := entry.Definition.SelfTest.Image; image != "" {
		info, err := os.Stat(filepath.Join(entry.Dir, image))
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
func files(folder string) (list []os.FileInfo, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(folder, entry.Name())) // what a link leads to
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
func filesSize(folder string) (sum int64, err error) {
	list, err := files(folder)
	for _, file := range list {
		sum += file.Size()
	}
	return sum, err
}
