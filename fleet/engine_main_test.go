//go:build engine

package fleet

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"fovea/docker/dockertest"
)

// These tests need a Docker engine (DOCKER_HOST, or the default socket) and the container image named by
// FOVEA_TEST_IMAGE, and run the real supervisor. FOVEA_FLEET_RATE limits their requests per second.

// program is the path of supervise, built with the same race setting as the tests.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "fleet")
	if err == nil {
		program = filepath.Join(dir, "supervise")
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if fakeServerBuilt {
		if err := dockertest.RemoveImage(context.Background(), "", fakeServerImage()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	if testing.Verbose() || figures() {
		figuresTable.print(os.Stdout)
	}
	os.Exit(code)
}

func build() error {
	args := []string{"build", "-o", program}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, "fovea/cmd/supervise")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build supervise: %w\n%s", err, out)
	}
	return nil
}

func testImage() string {
	if name := os.Getenv("FOVEA_TEST_IMAGE"); name != "" {
		return name
	}
	return "fovea"
}

func fakeServerImage() string { return fmt.Sprintf("fovea-fleet-test:%d", os.Getpid()) }

var fakeServerBuilt bool

var buildFakeServer = sync.OnceValue(func() error {
	fakeServerBuilt = true
	return dockertest.ProgramImage(context.Background(), "", fakeServerImage(), "fovea/fleet/internal/fakeserver")
})

// fakeServer returns the image of the fake server.
func fakeServer(t *testing.T) string {
	t.Helper()
	if err := buildFakeServer(); err != nil {
		t.Fatal(err)
	}
	return fakeServerImage()
}
