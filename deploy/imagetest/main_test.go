//go:build image

// Package imagetest tries the container images on a real Docker engine: what is in them, what they answer, and what
// they are not allowed to do. `make image-test` runs it.
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

// The images that the tests make; others than a user's own.
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
		fmt.Fprintf(os.Stderr, "These tests need a Docker engine, and none answers here: %v\n%s", err, out)
		os.Exit(1)
	}
	fmt.Println("building the image; where no layer is in the cache, OpenCV takes some minutes")
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
		panic(err) // There is no working folder.
	}
	return dir
}
