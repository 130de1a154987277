package repository

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// ErrUnreadable is the error of a part of the repository that cannot be read now, because a network disk does not respond or a
// folder has the wrong mode, for example. Whether it exists is unknown.
var ErrUnreadable = errors.New("cannot be read")

// Files is the file system access of a repository: package os, except in tests of its failures.
type Files interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	EvalSymlinks(name string) (string, error) // of package filepath
	OpenRoot(name string) (Root, error)
}

// Root is a folder that names cannot escape from: an *os.Root.
type Root interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Close() error
}

// File is an open file or folder: an *os.File.
type File interface {
	fs.ReadDirFile
	io.ReaderAt
}

type osFiles struct{}

func (osFiles) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }
func (osFiles) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (osFiles) Lstat(name string) (fs.FileInfo, error)     { return os.Lstat(name) }

func (osFiles) EvalSymlinks(name string) (string, error) { return filepath.EvalSymlinks(name) }

func (osFiles) OpenRoot(name string) (Root, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return osRoot{root}, nil
}

type osRoot struct{ *os.Root }

func (r osRoot) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := r.Root.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err // not f, which would be a nil pointer in an interface
	}
	return f, nil
}

// Unreadable wraps an error as ErrUnreadable.
func Unreadable(err error) error {
	if errors.Is(err, ErrUnreadable) {
		return err
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = denied(err, at.Path)
	}
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// permanent lists the errors that say that an entry does not exist. All others may be temporary.
var permanent = []syscall.Errno{syscall.ENOENT, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL}

// isTemporary reports whether an error is the file system's, or that of a dangling link, and may go away without a change of
// the files.
func isTemporary(err error) bool {
	var number syscall.Errno
	var link *linkError
	return errors.As(err, &number) && !slices.Contains(permanent, number) || errors.As(err, &link) && link.dangling
}

// found remembers a folder that was not empty.
func (r *Repository) found(dir string) {
	if info, err := r.files.Stat(dir); err == nil { // otherwise the next sync tries again
		r.seen.Store(dir, info)
	}
}

// gone returns nil if a folder certainly has no entry of that name, after reading it has failed. That is not certain if the
// entry is a dangling link, if the folder itself cannot be read, or if it is empty and not the same folder that held something
// before, such as a mount point without its disk.
func (r *Repository) gone(dir, name string) error {
	path := filepath.Join(dir, name)
	switch _, err := r.files.Lstat(path); {
	case err == nil:
		if target, err := os.Readlink(path); err == nil {
			return Unreadable(&linkError{fmt.Sprintf("%s is a link to %s, which does not exist", path, target), true})
		}
		return Unreadable(fmt.Errorf("%s has just appeared", path))
	case !errors.Is(err, fs.ErrNotExist):
		return Unreadable(err)
	}
	info, err := r.files.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && dir != r.dir:
		return r.gone(filepath.Dir(dir), filepath.Base(dir))
	case err != nil:
		return Unreadable(err)
	}
	before, known := r.seen.Load(dir)
	if !known || os.SameFile(before.(fs.FileInfo), info) {
		return nil
	}
	entries, err := r.files.ReadDir(dir)
	if err != nil {
		return Unreadable(err)
	}
	if isEmpty(entries) {
		return Unreadable(fmt.Errorf("%s is empty and not the same folder as before; is its disk still mounted?", dir))
	}
	return nil
}

// isEmpty reports whether a folder has only what a mount point or a new disk may have: names that begin with a dot, and
// lost+found.
func isEmpty(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return !strings.HasPrefix(entry.Name(), ".") && entry.Name() != "lost+found"
	})
}
