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
	"sync"
	"syscall"
)

// ErrUnreadable says that something of a repository cannot be looked at now, as when a network disk does not answer or a
// folder's mode is wrong. Whether it is there is not known then.
var ErrUnreadable = errors.New("cannot be read")

// Files are the calls by which a repository looks at its folder: those of package os, but in tests of their failures.
type Files interface {
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	Lstat(name string) (fs.FileInfo, error)
	EvalSymlinks(name string) (string, error) // of package filepath
	OpenRoot(name string) (Root, error)
}

// Root is a folder that names cannot leave: an *os.Root.
type Root interface {
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	Close() error
}

// File is a file or folder that is read: an *os.File.
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
		return nil, err // no nil *os.File in the interface
	}
	return f, nil
}

// Unreadable makes an ErrUnreadable of what went wrong.
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

// definite are the errors of file systems that say what is there. All others may pass.
var definite = []syscall.Errno{syscall.ENOENT, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL}

// passing says whether an error is the file system's, or that of a link which leads nowhere now, rather than a mistake in what
// is there.
func passing(err error) bool {
	var number syscall.Errno
	var link *linkError
	return errors.As(err, &number) && !slices.Contains(definite, number) || errors.As(err, &link) && link.nowhere
}

// identity is a folder as the kernel knows it.
type identity struct{ device, inode uint64 }

// folders are the folders in which something was found, as they were then.
type folders struct {
	mu   sync.Mutex
	seen map[string]identity
}

func (f *folders) get(dir string) (identity, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, known := f.seen[dir]
	return id, known
}

// found keeps what the folder is, now that something was found in it.
func (r *Repository) found(dir string) {
	info, err := r.files.Stat(dir)
	if err != nil {
		return // the next look finds something there too, or not
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		r.folders.mu.Lock()
		defer r.folders.mu.Unlock()
		r.folders.seen[dir] = identity{stat.Dev, stat.Ino}
	}
}

// gone returns nil when it is known that a folder has no entry of that name, after a look at it has said so. It is not known
// when the entry is a link that leads nowhere, when the folder cannot be looked at itself, or when it is empty and another
// than the one in which something was found, as a mount point is from which the disk was taken.
func (r *Repository) gone(dir, name string) error {
	path := filepath.Join(dir, name)
	switch _, err := r.files.Lstat(path); {
	case err == nil:
		if target, err := os.Readlink(path); err == nil {
			return Unreadable(&linkError{fmt.Sprintf("%s is a link to %s, which is not there", path, target), true})
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
	return r.believable(dir, info)
}

// isEmpty says whether a folder holds nothing but what a mount point or a new disk may: names that begin with a dot, and the
// lost+found of a file system.
func isEmpty(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return !strings.HasPrefix(entry.Name(), ".") && entry.Name() != "lost+found"
	})
}

// believable returns nil unless the folder is empty and another than the one in which something was found.
func (r *Repository) believable(dir string, info fs.FileInfo) error {
	before, known := r.folders.get(dir)
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !known || !ok || before == (identity{stat.Dev, stat.Ino}) {
		return nil
	}
	entries, err := r.files.ReadDir(dir)
	if err != nil {
		return Unreadable(err)
	}
	if isEmpty(entries) {
		return Unreadable(fmt.Errorf("%s is empty, and not the folder that it was: is its disk still mounted?", dir))
	}
	return nil
}
