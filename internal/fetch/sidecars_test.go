package fetch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fovea/internal/repository"
)

func TestEveryFileThatMayDescribeAModelIsFetched(t *testing.T) {
	dir := t.TempDir()
	names := append(repository.SidecarFiles(), "notes.txt")
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "best.onnx"), addModel(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{dir, filepath.Join(dir, "best.onnx")} {
		result, err := Get(t.Context(), parsed(t, from), Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if got := slices.ContainsFunc(result.Files, func(f File) bool { return f.Path == name }); got != (name != "notes.txt") {
				t.Errorf("from %s: %s is fetched: %t", filepath.Base(from), name, got)
			}
		}
	}
}
