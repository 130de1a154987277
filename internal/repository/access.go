package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// denied adds to a permission error which user needs access, and which folder or file on the path denies it: often a parent of
// the one that was opened. Other errors are returned unchanged.
func denied(err error, path string) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) || errors.As(err, new(*deniedError)) {
		return err
	}
	return &deniedError{withoutPath(err), path}
}

// deniedError is a permission error.
type deniedError struct {
	err  error
	path string
}

// Unwrap returns the system's error.
func (d *deniedError) Unwrap() error { return d.err }

// Error names the user that needs access and what denies it.
func (d *deniedError) Error() string {
	return fmt.Sprintf("%s: %v; serve runs as uid %d, gid %d, which must be able to read it%s",
		d.path, d.err, os.Geteuid(), os.Getegid(), denying(d.path))
}

// denying describes the deepest part of path whose owner and mode are known.
func denying(path string) string {
	for {
		info, err := os.Stat(path)
		if err == nil {
			return describeOwner(path, info)
		}
		if parent := filepath.Dir(path); parent != path {
			path = parent
			continue
		}
		return ""
	}
}

func describeOwner(path string, info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	need := "be readable"
	if info.IsDir() {
		need = "be readable and searchable"
	}
	return fmt.Sprintf(" (%s has mode %04o and belongs to uid %d, gid %d; it must %s)", path, info.Mode().Perm(),
		stat.Uid, stat.Gid, need)
}

// atPath prefixes an error with its path, unless it names one already.
func atPath(path string, err error) error {
	if strings.HasPrefix(err.Error(), "/") && (errors.As(err, new(*deniedError)) || errors.As(err, new(*linkError))) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
