//go:build !race

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

// buildServe builds the server, with the tags of this build and one more.
func buildServe(t *testing.T, tag string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "serve")
	cmd := exec.Command("go", "build", "-tags=gocv_specific_modules,"+tag, "-o", path, "fovea/cmd/serve")
	cmd.Dir = testenv.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// TestSoakFindsAPlantedLeakAndNothingInTheServer runs briefly, so a late garbage collection weighs much: 4 KiB per request
// are allowed. Three of eight requests reach a batch, so the planted leak is 24 KiB per request.
func TestSoakFindsAPlantedLeakAndNothingInTheServer(t *testing.T) {
	for _, test := range []struct {
		name, tag string
		leaks     bool
	}{
		{"the server as it is", "none", false},
		{"a server that keeps 64 KiB of every batch", "plantedleak", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx := t.Context()
			if end, bounded := t.Deadline(); bounded { // a busy machine is not a leak, so only the tests' deadline applies
				var cancel context.CancelFunc
				ctx, cancel = context.WithDeadline(ctx, end.Add(-10*time.Second))
				defer cancel()
			}
			o := options{Serve: buildServe(t, test.tag), Models: testenv.Models(t), Model: "efficientnet-lite0",
				Images: filepath.Join(testenv.Root(t), "testdata", "images"), Connections: 8, Requests: 4000, Limit: 4096}
			var out strings.Builder
			err := soak(ctx, o, &out)
			t.Logf("%s", out.String())
			if leaks := err != nil && strings.Contains(err.Error(), "memory leaks"); leaks != test.leaks || err != nil && !leaks {
				t.Errorf("the soak said %v, want a leak: %v", err, test.leaks)
			}
		})
	}
}

func TestImagesNamesWhatAFolderLacks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := images(dir); err == nil || !strings.Contains(err.Error(), "no images in "+dir) {
		t.Errorf("got %v", err)
	}
}
