// Package bulk predicts many images: it finds them in folders, sends a bounded number at a time to a model in this process or a server,
// and writes the answers in order, as a table, JSON, lines of JSON or CSV, with annotated images and crops. It reads answers as the JSON
// of the API, so that it needs not know their tasks.
package bulk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// Stdin is the name of the image on standard input.
const Stdin = "-"

// Input is an image to predict.
type Input struct {
	Name string // as it is shown: the path as it was given or found, or Stdin; a file of that name is ./-
	Rel  string // its path in the folders for annotated images and crops
	Err  error  // why there is none; nil if it may be read

	data []byte // of Stdin
}

// Find lists the images of paths: files, folders with all images below them, or Stdin, which is read up to max bytes. Hidden files and
// folders are left out, and links to folders within folders not followed. What cannot be read is listed with its error. Images that are
// named twice are listed once. Folders below paths that are in outputs are left out: what a run writes there is no image of the next one.
func Find(paths []string, stdin io.Reader, limit int64, outputs ...string) (list []Input, err error) {
	f := finder{seen: map[string]bool{}, limit: limit}
	for _, dir := range outputs {
		if info, err := os.Stat(dir); err == nil { // one that does not exist has no images
			f.outputs = append(f.outputs, info)
		}
	}
	for _, path := range paths {
		if path == Stdin {
			if err := f.stdin(stdin); err != nil {
				return nil, err
			}
			continue
		}
		f.add(path)
	}
	return f.list, f.relate()
}

// ReadNames reads names of files: one a line, or separated by zero bytes if there is one.
func ReadNames(r io.Reader) (names []string, err error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	separator := "\n"
	if strings.ContainsRune(string(text), 0) {
		separator = "\x00"
	}
	for name := range strings.SplitSeq(string(text), separator) {
		if separator == "\n" {
			name = strings.TrimSuffix(name, "\r")
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}

type finder struct {
	list  []Input
	bases []string // folders that the paths in list are relative to, absolute; empty: a name without a folder
	seen  map[string]bool
	limit int64

	outputs []fs.FileInfo // folders that are left out
}

func (f *finder) put(in Input, base string) {
	if in.Name != Stdin {
		if in.Name = filepath.Clean(in.Name); in.Name == Stdin {
			in.Name = "./" + Stdin
		}
	}
	if f.seen[in.Name] {
		return
	}
	f.seen[in.Name] = true
	f.list, f.bases = append(f.list, in), append(f.bases, base)
}

func (f *finder) stdin(r io.Reader) error {
	if f.seen[Stdin] {
		return nil
	}
	data, err := readLimited(r, f.limit)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	f.put(Input{Name: Stdin, Rel: "stdin", data: data}, "")
	return nil
}

// add lists a file, or the images below a folder.
func (f *finder) add(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		f.put(Input{Name: path, Err: withoutPath(err)}, "")
	case info.IsDir():
		f.addFolder(path)
	case info.Mode().IsRegular():
		f.put(Input{Name: path}, f.absolute(filepath.Dir(path)))
	default: // a pipe, as of a shell's <(…)
		f.put(Input{Name: path, Rel: filepath.Base(path)}, "")
	}
}

func (f *finder) addFolder(dir string) {
	before, base := len(f.list), f.absolute(dir)
	found := false
	_ = filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error { // the separator follows a link
		name := entryName(path, dir)
		switch {
		case err != nil:
			f.put(Input{Name: path, Err: withoutPath(err)}, "")
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		case name != "" && strings.HasPrefix(name, "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
		case name != "" && entry.IsDir() && f.isOutput(path):
			return fs.SkipDir
		case !entry.IsDir() && repository.IsImage(name) && isFile(path, entry):
			found = true
			f.put(Input{Name: path}, base)
		}
		return nil
	})
	if !found && len(f.list) == before {
		f.put(Input{Name: dir, Err: errors.New("there are no images in this folder")}, "")
	}
}

func (f *finder) isOutput(dir string) bool {
	if len(f.outputs) == 0 {
		return false
	}
	info, err := os.Stat(dir)
	return err == nil && slices.ContainsFunc(f.outputs, func(o fs.FileInfo) bool { return os.SameFile(o, info) })
}

// entryName is the name of an entry below a folder; empty for the folder itself.
func entryName(path, dir string) string {
	if filepath.Clean(path) == filepath.Clean(dir) {
		return ""
	}
	return filepath.Base(path)
}

// isFile reports whether an entry is a file, or a link to one. A link to nothing is one, whose error is found later.
func isFile(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink == 0 {
		return entry.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

func (f *finder) absolute(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}

// relate sets the relative paths: from the deepest folder that all images are below, so that they cannot collide.
func (f *finder) relate() error {
	common, found := "", false
	for _, base := range f.bases {
		switch {
		case base == "":
		case !found:
			common, found = base, true
		default:
			for common != base && !strings.HasPrefix(base, strings.TrimSuffix(common, "/")+"/") {
				common = filepath.Dir(common)
			}
		}
	}
	for i, base := range f.bases {
		if base == "" {
			continue
		}
		relative, err := filepath.Rel(common, f.absolute(f.list[i].Name))
		if err != nil {
			return err
		}
		f.list[i].Rel = relative
	}
	return nil
}

// withoutPath is an error without the path that it begins with.
func withoutPath(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return err
}

// read returns the bytes of an image, up to limit. They may lie in buffer, which grows as needed.
func (in *Input) read(limit int64, buffer *[]byte) ([]byte, error) {
	switch {
	case in.Err != nil:
		return nil, in.Err
	case in.Name == Stdin:
		return in.data, nil
	}
	file, err := os.Open(in.Name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if size := info.Size(); info.Mode().IsRegular() && size <= limit { // in one read
		*buffer = slices.Grow((*buffer)[:0], int(size))
		data := (*buffer)[:size]
		n, err := io.ReadFull(file, data)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // it has become shorter
			err = nil
		}
		return data[:n], withoutPath(err)
	}
	data, err := readLimited(file, limit)
	return data, withoutPath(err)
}

// readLimited reads up to limit bytes; more are an error.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("has more than %d bytes, the limit of http.max_image_bytes", limit)
	}
	return data, err
}
