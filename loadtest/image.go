package loadtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxBytes bounds the images, and the bodies, in memory.
const maxBytes = 1 << 30

var extensions = []string{".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}

// Image is a file to send.
type Image struct {
	Name string // without its folder
	Data []byte
}

// ReadImages reads every image of a folder in order of their names, or the one file that path names. All files that cannot
// be read are reported together.
func ReadImages(path string) ([]Image, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("images: %s does not exist", path)
	case err != nil:
		return nil, fmt.Errorf("images: %w", err)
	case !info.IsDir():
		return readAll(filepath.Dir(path), []string{filepath.Base(path)})
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	var names []string
	for _, e := range entries {
		if slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name()))) {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("images: none in %s; supported extensions: %s", path, strings.Join(extensions, " "))
	}
	return readAll(path, names)
}

func readAll(dir string, names []string) ([]Image, error) {
	var images []Image
	var errs []error
	total := 0
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("images: %w", err))
			continue
		case len(data) == 0:
			errs = append(errs, fmt.Errorf("images: %s is empty", filepath.Join(dir, name)))
			continue
		}
		if total += len(data); total > maxBytes {
			errs = append(errs, fmt.Errorf("images: the images in %s exceed %d MiB in total; use fewer", dir, maxBytes>>20))
			break
		}
		images = append(images, Image{Name: name, Data: data})
	}
	return images, errors.Join(errs...)
}
