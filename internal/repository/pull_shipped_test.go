package repository

import (
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/testenv"
)

// Every shipped model that a folder of real weights has is pulled from it and is then ready to serve.
func TestPullShippedModelsFromAMirrorFolder(t *testing.T) {
	mirror, ok := testenv.SharedModels(t)
	if !ok {
		mirror = t.TempDir() // of the default model alone
		weights := filepath.Join(testenv.Models(t), "efficientnet-lite0", "1", weightsFile)
		if err := os.Symlink(weights, filepath.Join(mirror, "efficientnet-lite0.onnx")); err != nil {
			t.Fatal(err)
		}
	}
	dir, pulled := t.TempDir(), 0
	for _, name := range Shipped() {
		if !isFile(filepath.Join(mirror, name+".onnx")) {
			continue
		}
		if err := Pull(t.Context(), PullOptions{Dir: dir, Name: name, Mirror: mirror}); err != nil {
			t.Error(err)
			continue
		}
		entry, err := Open(dir).Load(name)
		if err != nil || len(entry.Serve(nil)) != 1 || len(entry.Definition.Labels) == 0 {
			t.Errorf("%s: entry %+v, error %v", name, entry, err)
		}
		pulled++
	}
	if names, err := Open(dir).Names(); err != nil || pulled == 0 || len(names) != pulled {
		t.Errorf("pulled %d, the repository has %v, error %v", pulled, names, err)
	}
}
