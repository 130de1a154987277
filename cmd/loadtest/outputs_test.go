package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fovea/internal/config"
)

func TestUnwritableFilesAreReportedFirst(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("old.json"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target.json", path("link.json")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, dir)
	for _, test := range []struct{ name, path, want string }{
		{"no file", "", ""},
		{"a new file", path("new.json"), ""},
		{"a file that there is", path("old.json"), ""},
		{"a link to a file that does not exist yet", path("link.json"), ""},
		{"a pipe without a reader", path("pipe"), ""},
		{"a folder", dir, "json: " + dir + " is a folder"},
		{"a missing folder", path("none/new.json"), "no such file"},
		{"a name that no file can have", path(strings.Repeat("x", 300)), "name too long"},
		{"a file in place of a folder", path("old.json/new.json"), "not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := config.Check(outputs{JSON: test.path})
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if after := list(t, dir); after != before {
		t.Errorf("left behind: %s instead of %s", after, before)
	}
	if text, err := os.ReadFile(path("old.json")); err != nil || string(text) != "old" {
		t.Errorf("the old file holds %q, %v", text, err)
	}
}

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
