package fetch

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/repository"
)

func TestPullFromMirrors(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/m.onnx":
			http.Redirect(w, r, "/elsewhere", http.StatusFound) // http to http: the user chose it
		case "/elsewhere":
			serveWeights(w, r)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(plain.Close)
	folder := write(t, map[string]string{"m.onnx": string(weights)})
	for name, mirror := range map[string]string{"a folder": folder, "an address": plain.URL + "/base/"} {
		t.Run(name, func(t *testing.T) {
			dir := origin(t, "https://127.0.0.1:9/unused", weights)
			if err := pull(t, dir, plain, PullOptions{Mirror: mirror}); err != nil {
				t.Fatal(err)
			}
			pulled(t, dir)
		})
	}
}

// TestPullOfExternalData installs model.onnx last: without all its files the version must not appear.
func TestPullOfExternalData(t *testing.T) {
	definition := good + "source:\n  sha256: " + hashOf(weights) + "\n  version: 3\n  files:\n  - {path: data/w.bin, sha256: " + hashOf([]byte("w")) + "}\n"
	dir := write(t, map[string]string{"m/model.yaml": definition})
	mirror := write(t, map[string]string{"m.onnx": string(weights), "m/data/w.bin": "x"})
	model := filepath.Join(dir, "m", "3", "model.onnx")
	if err := pull(t, dir, nil, PullOptions{Mirror: mirror}); err == nil || !strings.Contains(err.Error(), "data/w.bin: its SHA-256 is") || isFile(model) {
		t.Errorf("error is %v, model.onnx is there: %v", err, isFile(model))
	}
	if err := os.WriteFile(filepath.Join(mirror, "m", "data", "w.bin"), []byte("w"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := pull(t, dir, nil, PullOptions{Mirror: mirror}); err != nil {
		t.Fatal(err)
	}
	pulled(t, dir)
	data := filepath.Join(dir, "m", "3", "data", "w.bin")
	if content, err := os.ReadFile(data); err != nil || string(content) != "w" {
		t.Errorf("external data is %q, %v", content, err)
	}
	if err := os.WriteFile(data, []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := pull(t, dir, nil, PullOptions{Mirror: mirror}); err == nil || !strings.Contains(err.Error(), "w.bin exists but does not match") {
		t.Errorf("error is %v", err)
	}
}

func TestPullExplainsWhatIsMissing(t *testing.T) {
	noAddress := good + "source: {sha256: " + strings.Repeat("ab", 32) + "}"
	for name, c := range map[string]struct{ file, mirror, want string }{
		"no public address":       {noAddress, "", "no public URL; use a mirror that has m.onnx"},
		"a mirror without it":     {noAddress, t.TempDir(), "m.onnx: no such file"},
		"a mirror that is a file": {noAddress, write(t, map[string]string{"m.onnx/": ""}), "is not a regular file"},
		"no hash":                 {good, "", "no source.sha256"},
		"an invalid definition":   {"task: x", "", `task: "x" is not one of`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"m/model.yaml": c.file})
			err := pull(t, dir, nil, PullOptions{Mirror: c.mirror})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v; want %q", err, c.want)
			}
		})
	}
	for _, name := range []string{"none", "../m", ""} {
		if err := Pull(t.Context(), PullOptions{Dir: t.TempDir(), Name: name}); !errors.Is(err, repository.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
