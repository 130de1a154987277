package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"fovea/internal/repository"
)

// maxEntries is how many files of a source are listed.
const maxEntries = 10_000

// errTooMany is the error of a source with too many files.
var errTooMany = fmt.Errorf("has more than %d files; name the model", maxEntries)

// openLocal returns the files of a folder, or a file with those in its folder. Links in a folder are followed as those of a
// repository.
func openLocal(src Source) (*opened, error) {
	info, err := os.Stat(src.Path)
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		err = at.Err // without the path, which the caller adds
	}
	if err != nil {
		return nil, &final{err}
	}
	if info.IsDir() {
		return openFolder(src.Path)
	}
	model := openedFile(src.Path)
	dir := filepath.Dir(src.Path)
	fsys, closer, err := repository.OpenFolder(dir)
	if err != nil {
		return nil, &final{err}
	}
	s := &opened{exact: &model, closers: []func(){func() { _ = closer.Close() }}}
	s.sibling = func(name string) entry { return localFile(fsys.Open, name) }
	names := companions
	if entries, err := os.ReadDir(dir); err == nil {
		for _, entry := range entries {
			if repository.IsDictionary(entry.Name()) {
				names = append(slices.Clip(names), entry.Name())
			}
		}
	}
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			s.entries = append(s.entries, localFile(fsys.Open, name))
		}
	}
	return s, nil
}

// openFolder lists a folder.
func openFolder(dir string) (*opened, error) {
	fsys, closer, err := repository.OpenFolder(dir)
	if err != nil {
		return nil, &final{err}
	}
	s := &opened{closers: []func(){func() { _ = closer.Close() }}}
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case len(s.entries) >= maxEntries:
			return errTooMany
		case !e.IsDir() && e.Type()&^fs.ModeSymlink == 0:
			s.entries = append(s.entries, localFile(fsys.Open, name))
		}
		return nil
	})
	if err != nil {
		s.close()
		return nil, &final{err}
	}
	return s, nil
}

// localFile is a file of this machine, which is always copied from its beginning.
func localFile(open func(name string) (fs.File, error), name string) entry {
	return entry{name: path.Clean(name), open: func(ctx context.Context, _ int64, _ string) (*content, error) {
		f, err := open(name)
		if err != nil {
			return nil, &final{err}
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = errors.New("is not a regular file")
		}
		if err != nil {
			return nil, &final{errors.Join(err, f.Close())}
		}
		context.AfterFunc(ctx, func() { _ = f.Close() }) // ends the copy
		return &content{ReadCloser: f, size: info.Size()}, nil
	}}
}

// openedFile is a file at a path of this machine.
func openedFile(at string) entry {
	return localFile(func(string) (fs.File, error) {
		return os.OpenFile(at, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not block
	}, filepath.Base(at))
}
