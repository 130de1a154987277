// Package reload keeps what is read from files up to date while a program runs.
//
// Files are polled, not watched: a poll sees a file that is rewritten, replaced by a rename, or reached through a symbolic
// link that is switched, as Kubernetes does with the files of a secret, and it works on every file system.
package reload

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// interval is the time between two polls. A change applies once two polls in a row have seen it, so that files that are
	// written one after the other, or slowly, are not read halfway.
	interval = time.Second
	// maxFile bounds what is read of a file, in bytes.
	maxFile = 1 << 20
)

// Value is what a function makes of the contents of files. It is safe for concurrent use.
type Value[T any] struct {
	paths   []string
	parse   func(contents [][]byte) (*T, error)
	current atomic.Pointer[T]
	handled snapshot // the last one that was applied or rejected
	seen    snapshot // by the last poll
	applied snapshot
}

// snapshot is the contents of all files, or why they cannot be read.
type snapshot struct {
	contents [][]byte
	err      error
}

func (s snapshot) equal(other snapshot) bool {
	return fmt.Sprint(s.err) == fmt.Sprint(other.err) && slices.EqualFunc(s.contents, other.contents, bytes.Equal)
}

// Open reads the files and parses their contents, which are in the order of paths. The error is the first file's that cannot
// be read, or that of parse.
func Open[T any](parse func(contents [][]byte) (*T, error), paths ...string) (*Value[T], error) {
	v := &Value[T]{paths: paths, parse: parse}
	first := v.read()
	if first.err != nil {
		return nil, first.err
	}
	value, err := parse(first.contents)
	if err != nil {
		return nil, err
	}
	v.current.Store(value)
	v.handled, v.seen, v.applied = first, first, first
	return v, nil
}

// Get returns the value of the files as they were last accepted.
func (v *Value[T]) Get() *T { return v.current.Load() }

// Watch polls the files until ctx ends. What cannot be read or parsed is logged once, and the value stays as it was.
func (v *Value[T]) Watch(ctx context.Context, log *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			v.poll(log)
		}
	}
}

// poll applies a change that the poll before has seen as well.
func (v *Value[T]) poll(log *slog.Logger) {
	now := v.read()
	stable := now.equal(v.seen)
	v.seen = now
	if !stable || now.equal(v.handled) {
		return
	}
	v.handled = now
	if now.equal(v.applied) {
		return // what was wrong has been undone
	}
	value, err := (*T)(nil), now.err
	if err == nil {
		value, err = v.parse(now.contents)
	}
	if err != nil {
		log.Error("changed files cannot be used; continuing with what was last read", "files", strings.Join(v.paths, ", "), "error", err.Error())
		return
	}
	v.current.Store(value)
	v.applied = now
	log.Info("changed files are in use", "files", strings.Join(v.paths, ", "))
}

func (v *Value[T]) read() (s snapshot) {
	for _, path := range v.paths {
		content, err := readFile(path)
		if err != nil {
			return snapshot{err: err}
		}
		s.contents = append(s.contents, content)
	}
	return s
}

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would block all further polls
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return content, err
}
