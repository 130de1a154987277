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
	if !errors.Is(err, fs.ErrPermission) || errors.As(err, new(*deniedError)) {
		return err
	}
	return &deniedError{fmt.Errorf("%s: %w; serve runs as uid %d, gid %d, which must be able to read it%s",
		path, withoutPath(err), os.Geteuid(), os.Getegid(), denying(path))}
}

// deniedError is a permission error that says who needs access.
type deniedError struct{ error }

// Unwrap returns the system's error.
func (d *deniedError) Unwrap() error { return d.error }

// denying describes the deepest part of path whose owner and mode are known.
func denying(path string) string {
	info, err := os.Stat(path)
	if parent := filepath.Dir(path); err != nil && parent != path {
		return denying(parent)
	}
	if err != nil {
		return ""
	}
	need := "be readable"
	if info.IsDir() {
		need = "be readable and searchable"
	}
	stat := info.Sys().(*syscall.Stat_t)
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
