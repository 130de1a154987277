package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// move renames a folder. One that is there already is exchanged for it with replace, and an error otherwise. There is no moment
// without either, except on file systems that cannot exchange.
func move(from, to string, replace bool) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, fs.ErrExist) && replace {
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_EXCHANGE)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // such as on NFS
		err = moveApart(from, to, replace)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return nil
}

// moveApart is move in two steps.
func moveApart(from, to string, replace bool) error {
	if _, err := os.Lstat(to); err == nil {
		if !replace {
			return fs.ErrExist
		}
		if err := os.Rename(to, from+".old"); err != nil {
			return err
		}
	}
	return os.Rename(from, to)
}
