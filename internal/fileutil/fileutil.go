// Package fileutil locks files between processes and replaces files atomically.
package fileutil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrLocked: another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// retryInterval is the time between two attempts of Lock.
const retryInterval = 100 * time.Millisecond

// TryLock takes an exclusive lock on a file, which it creates if necessary, or returns ErrLocked. The kernel releases the
// lock when the process ends. The file is never removed: two processes could then hold locks on different files of the
// same name.
func TryLock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// Lock is TryLock that waits for the lock until ctx ends.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	ticker := time.NewTicker(retryInterval)
	defer ticker.Stop()
	for {
		unlock, err := TryLock(path)
		if !errors.Is(err, ErrLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}

// Replace writes a file under a temporary name, flushes it to the disk and renames it: readers see the old content or the
// new one, also after a crash. The temporary file is hidden, in the same folder, and has one name, so callers must not
// replace a file concurrently.
func Replace(path string, data []byte, mode os.FileMode) error {
	dir, name := filepath.Split(path)
	temporary := filepath.Join(dir, "."+name+".new")
	err := write(temporary, data, mode)
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // It may not exist.
		return err
	}
	_ = SyncDir(filepath.Dir(path)) // A crash may undo the rename; the file is complete either way.
	return nil
}

func write(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncDir flushes a folder to the disk, and with it the names of the files in it.
func SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
