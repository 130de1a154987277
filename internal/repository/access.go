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

// denied says of an error for want of permission who must be given it, and which folder or file on the way to path
// refuses: it is often a folder above the one that was asked for. Other errors stay as they are.
func denied(err error, path string) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) || errors.As(err, new(*deniedError)) {
		return err
	}
	return &deniedError{plain(err), path}
}

// deniedError is an error for want of permission.
type deniedError struct {
	err  error
	path string
}

// Unwrap is the system's error.
func (d *deniedError) Unwrap() error { return d.err }

// Error names the user that must be given permission and what refuses it.
func (d *deniedError) Error() string {
	return fmt.Sprintf("%s: %v; serve runs as uid %d, gid %d, which must be able to read it%s",
		d.path, d.err, os.Geteuid(), os.Getegid(), refusing(d.path))
}

// refusing describes the deepest part of path whose owner and mode can be told.
func refusing(path string) string {
	for {
		info, err := os.Stat(path)
		if err == nil {
			return owned(path, info)
		}
		if parent := filepath.Dir(path); parent != path {
			path = parent
			continue
		}
		return ""
	}
}

func owned(path string, info fs.FileInfo) string {
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

// atPath has an error begin with the path that it is about, unless it names one already.
func atPath(path string, err error) error {
	if strings.HasPrefix(err.Error(), "/") && (errors.As(err, new(*deniedError)) || errors.As(err, new(*linkError))) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}
