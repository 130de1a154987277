package reload

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var errBroken = errors.New("broken content")

// parse joins the contents, and refuses those that contain "broken".
func parse(contents [][]byte) (*string, error) {
	text := string(bytes.Join(contents, []byte("+")))
	if strings.Contains(text, "broken") {
		return nil, errBroken
	}
	return &text, nil
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open opens two files with the contents a and b.
func open(t *testing.T) (v *Value[string], one, two string, log *bytes.Buffer, poll func()) {
	t.Helper()
	one, two = filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	write(t, one, "a")
	write(t, two, "b")
	v, err := Open(parse, one, two)
	if err != nil {
		t.Fatal(err)
	}
	log = &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	return v, one, two, log, func() { v.poll(logger) }
}

func TestChangeAppliesWhenTwoPollsHaveSeenIt(t *testing.T) {
	v, one, two, log, poll := open(t)
	poll()
	write(t, one, "c")
	poll()
	if got := *v.Get(); got != "a+b" {
		t.Errorf("after one poll: %q", got)
	}
	write(t, two, "d") // the second file follows a moment later
	poll()
	if got := *v.Get(); got != "a+b" {
		t.Errorf("after a further change: %q", got)
	}
	for range 3 {
		poll()
	}
	if got := *v.Get(); got != "c+d" {
		t.Errorf("in the end: %q", got)
	}
	if n := strings.Count(log.String(), "changed files"); n != 1 {
		t.Errorf("%d lines in the log, want 1:\n%s", n, log)
	}
}

func TestBrokenFilesKeepTheValueAndAreLoggedOnce(t *testing.T) {
	v, one, _, log, poll := open(t)
	steps := []struct {
		name string
		do   func()
		want string
		says string
		logs int // lines so far
	}{
		{"a content that cannot be parsed", func() { write(t, one, "broken") }, "a+b", "broken content", 1},
		{"another one", func() { write(t, one, "broken, too") }, "a+b", "broken content", 2},
		{"a missing file", func() { _ = os.Remove(one) }, "a+b", "no such file", 3},
		{"a file that is too large", func() { write(t, one, strings.Repeat("x", maxFile+1)) }, "a+b", "is larger than", 4},
		{"a pipe that no one writes to", func() { _ = errors.Join(os.Remove(one), syscall.Mkfifo(one, 0o600)) }, "a+b", "is not a regular file", 5},
		{"what was there at first", func() { _ = os.Remove(one); write(t, one, "a") }, "a+b", "", 5},
		{"a good one", func() { write(t, one, "c") }, "c+b", "are in use", 6},
	}
	for _, step := range steps {
		step.do()
		for range 5 {
			poll()
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if got := *v.Get(); got != step.want || len(lines) != step.logs || !strings.Contains(lines[len(lines)-1], step.says) {
			t.Errorf("%s: %q, %d lines in the log, the last %q", step.name, got, len(lines), lines[len(lines)-1])
		}
	}
}

// Kubernetes switches a symbolic link to a folder with all files of a secret.
func TestSwitchedLink(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"1", "2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, version, "file"), version)
	}
	link := func(version string) {
		next := filepath.Join(dir, "next")
		if err := errors.Join(os.Symlink(version, next), os.Rename(next, filepath.Join(dir, "data"))); err != nil {
			t.Fatal(err)
		}
	}
	link("1")
	if err := os.Symlink(filepath.Join("data", "file"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	v, err := Open(parse, filepath.Join(dir, "file"))
	if err != nil || *v.Get() != "1" {
		t.Fatalf("%v", err)
	}
	link("2")
	v.poll(slog.New(slog.DiscardHandler))
	v.poll(slog.New(slog.DiscardHandler))
	if got := *v.Get(); got != "2" {
		t.Errorf("after the switch: %q", got)
	}
}

func TestWatchPollsUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, one, _, _, _ := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { v.Watch(ctx, slog.New(slog.DiscardHandler)); close(ended) }()
		write(t, one, "c")
		time.Sleep(5 * interval)
		if got := *v.Get(); got != "c+b" {
			t.Errorf("after five polls: %q", got)
		}
		cancel()
		<-ended
	})
}

func TestOpenReportsWhatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if _, err := Open(parse, file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	write(t, file, "broken")
	if _, err := Open(parse, file); !errors.Is(err, errBroken) {
		t.Errorf("a broken file: %v", err)
	}
}
