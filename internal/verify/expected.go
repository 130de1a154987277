package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// Limits of what is read.
const (
	maxFile  = 1 << 30 // bytes of a file with all predictions
	maxSmall = 16 << 20
	maxFiles = 1_000_000
)

// Expected holds the predictions of an exporter's program, by image.
type Expected struct {
	Format string // what was recognized, such as "COCO results"
	// Detection: the answers are boxes, else classes.
	Detection bool
	// Silent: an image that is not listed has no boxes, as in formats that have one line per box.
	Silent bool
	// Numbering is how the format counts classes, if that is not certain.
	Numbering Numbering

	answers map[string]*Answer // by the image's name as the format gives it
	names   []string           // in the order of the format
}

// Numbering says from where a format counts its classes.
type Numbering int

// The numberings. COCO's category_id is the identifier of the annotation file, which only tells its meaning.
const (
	FromZero Numbering = iota // as the labels
	Category                  // category_id without an annotation file: from 0, from 1, or with the gaps of COCO's 91 categories
)

// Load reads predictions from a file, or from a folder with one file per image. annotations is COCO's annotation file, which
// tells the files and categories of COCO results; empty: none. The format is recognized by its content. Errors say
// what was found and what is allowed.
func Load(name, annotations string) (*Expected, error) {
	var notes *cocoNotes
	if annotations != "" {
		data, err := readFile(annotations, maxFile)
		if err == nil {
			notes, err = parseAnnotations(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", annotations, err)
		}
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return loadFolder(name)
	}
	data, err := readFile(name, maxFile)
	if err != nil {
		return nil, err
	}
	e, err := Parse(data, filepath.Base(name), notes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, nil
}

const allowedFormats = "allowed: Ultralytics' text files or JSON, COCO results, a CSV of classes with the columns file, label " +
	"and, optionally, score, or responses of /predict"

// Parse reads a file with the predictions of one or more images. name is the file's, without folders: formats of one image per
// file are about the image of that name. notes may be nil.
func Parse(data []byte, name string, notes *cocoNotes) (*Expected, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	stem := strings.TrimSuffix(name, path.Ext(name))
	text := bytes.TrimSpace(data)
	switch {
	case len(text) > 0 && (text[0] == '[' || text[0] == '{'):
		return parseJSON(text, stem, notes)
	case strings.EqualFold(path.Ext(name), ".csv"):
		return parseCSV(data)
	case strings.EqualFold(path.Ext(name), ".txt") && isText(text):
		return parseText(string(text), stem)
	case len(text) == 0:
		return nil, errors.New("the file is empty; " + allowedFormats)
	}
	return parseCSV(data)
}

// loadFolder reads a folder with one file per image, all in the same format.
func loadFolder(dir string) (*Expected, error) {
	var all *Expected
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	read := 0
	for _, entry := range entries {
		if ext := strings.ToLower(path.Ext(entry.Name())); entry.IsDir() || ext != ".txt" && ext != ".json" || entry.Name() == "classes.txt" {
			continue
		}
		if read++; read > maxFiles {
			return nil, fmt.Errorf("%s: has more than %d files", dir, maxFiles)
		}
		file := filepath.Join(dir, entry.Name())
		data, err := readFile(file, maxSmall)
		if err != nil {
			return nil, err
		}
		one, err := Parse(data, entry.Name(), nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if all == nil {
			all = one
			continue
		}
		if err := all.merge(one); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if all == nil {
		return nil, fmt.Errorf("%s: has no .txt or .json file; %s", dir, allowedFormats)
	}
	return all, nil
}

// merge adds the answers of another file. An empty file has no format.
func (e *Expected) merge(other *Expected) error {
	if e.Format == "" {
		e.Format, e.Detection, e.Silent, e.Numbering = other.Format, other.Detection, other.Silent, other.Numbering
	}
	if other.Format != "" && (e.Format != other.Format || e.Detection != other.Detection) {
		return fmt.Errorf("is %s, but the files before are %s", other.Format, e.Format)
	}
	for _, name := range other.names {
		e.answer(name).append(other.answers[name])
	}
	return nil
}

func (a *Answer) append(other *Answer) {
	a.Classes, a.Boxes = append(a.Classes, other.Classes...), append(a.Boxes, other.Boxes...)
	a.Unit, a.Width, a.Height = a.Unit || other.Unit, max(a.Width, other.Width), max(a.Height, other.Height)
}

// answer returns the answer for an image, a new one if there is none.
func (e *Expected) answer(image string) *Answer {
	if e.answers == nil {
		e.answers = map[string]*Answer{}
	}
	a := e.answers[image]
	if a == nil {
		a = &Answer{}
		e.answers[image] = a
		e.names = append(e.names, image)
	}
	return a
}

// Names lists the images, as the format names them.
func (e *Expected) Names() []string { return slices.Clone(e.names) }

// For returns the answer for an image file, whose path is relative to the folder of images. The format may name it
// with or without its folders and extension, or by its number, as COCO does.
func (e *Expected) For(file string) (*Answer, bool) {
	file = filepath.ToSlash(file)
	base := path.Base(file)
	for _, name := range []string{file, base, strings.TrimSuffix(file, path.Ext(file)), strings.TrimSuffix(base, path.Ext(base))} {
		if a := e.answers[name]; a != nil {
			return a, true
		}
	}
	if n, err := strconv.ParseUint(strings.TrimSuffix(base, path.Ext(base)), 10, 63); err == nil {
		if a := e.answers[strconv.FormatUint(n, 10)]; a != nil {
			return a, true
		}
	}
	if e.Silent && e.Detection {
		return &Answer{}, false
	}
	return nil, false
}

func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: is larger than the %d bytes allowed", name, limit)
	}
	return data, nil
}

// Images lists the image files in a folder and its folders, sorted, relative to it.
func Images(dir string) (list []string, err error) {
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(entry.Name(), ".") && file != dir {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.IsDir() && repository.IsImage(file) {
			relative, err := filepath.Rel(dir, file)
			if err != nil {
				return err
			}
			list = append(list, relative)
		}
		return nil
	})
	slices.Sort(list)
	return list, err
}
