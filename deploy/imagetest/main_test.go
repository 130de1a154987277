//go:build image

// Package imagetest tests the container images on a real Docker engine: their contents, their predictions, and their
// restrictions. `make image-test` runs it.
package imagetest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The images that the tests build, separate from a user's.
const (
	cpuImage  = "fovea-test:cpu"
	bareImage = "fovea-test:bare" // without a model
	cudaImage = "fovea-test:cuda"
)

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	out, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.Version}}").CombinedOutput()
	cancel()
	if err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a running Docker engine: %v\n%s", err, out)
		os.Exit(1)
	}
	fmt.Println("building the image; without cached layers, OpenCV takes some minutes")
	if err := build(io.Discard, root(), "-t", cpuImage); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// root is the repository's root folder.
func root() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err) // no working directory
	}
	return dir
}
