// Package testenv locates what tests need: the repository's root, the ONNX Runtime library, models and images.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Root returns the repository's root folder: the nearest one above the test that holds go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}

// ORTLibrary returns the path of libonnxruntime.so: $FOVEA_ORT_LIBRARY, or where `make setup` installs it.
func ORTLibrary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("FOVEA_ORT_LIBRARY")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(cache, "fovea", "onnxruntime-1.30.0", "libonnxruntime.so")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("ONNX Runtime is not installed (run make setup): %v", err)
	}
	return path
}

// Models returns the repository's models folder, which holds the default model after `make setup`.
func Models(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(Root(t), "models")
	if _, err := os.Stat(filepath.Join(dir, "efficientnet-lite0", "1", "model.onnx")); err != nil {
		t.Fatalf("the default model is missing (run make setup): %v", err)
	}
	return dir
}

// SharedModels returns a folder of further real models, if there is one: $FOVEA_TEST_MODELS, or ../shared/models.
func SharedModels(t testing.TB) (dir string, ok bool) {
	return shared(t, "FOVEA_TEST_MODELS", "models")
}

// SharedImages returns a folder of further real images, if there is one: $FOVEA_TEST_IMAGES, or ../shared/images.
func SharedImages(t testing.TB) (dir string, ok bool) {
	return shared(t, "FOVEA_TEST_IMAGES", "images")
}

func shared(t testing.TB, variable, name string) (string, bool) {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		dir = filepath.Join(Root(t), "..", "shared", name)
	}
	info, err := os.Stat(dir)
	return dir, err == nil && info.IsDir()
}
