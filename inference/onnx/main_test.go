package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
)

// TestMain opens the library once and fails when a test leaves native values behind.
func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	code := m.Run()
	if n := Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d native objects have not been freed\n", n)
		return 1
	}
	return code
}

// open opens the library for one test or benchmark.
func open(t testing.TB) {
	t.Helper()
	if err := Open(testenv.ORTLibrary(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Close(); err != nil {
			t.Error(err)
		}
	})
}

// load opens a session that ends with the test.
func load(t testing.TB, path string, o Options) *Session {
	t.Helper()
	s, err := NewSession(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// batchOf makes a batch that ends with the test.
func batchOf(t testing.TB, s *Session, spec BatchSpec) *Batch {
	t.Helper()
	b, err := s.NewBatch(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// writeModel writes a model into a folder of the test and returns its path.
func writeModel(t testing.TB, m *onnxwriter.Model) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
