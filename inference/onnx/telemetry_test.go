package onnx

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// TestTelemetryIsOff runs a session in a separate process with an empty home, where ONNX Runtime would keep its telemetry.
func TestTelemetryIsOff(t *testing.T) {
	const child = "FOVEA_TEST_TELEMETRY_CHILD"
	if os.Getenv(child) != "" {
		open(t)
		load(t, filepath.Join(testenv.Models(t), "efficientnet-lite0", "1", "model.onnx"), Options{})
		return
	}
	home := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$") // this test, in another process
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, telemetryEnv+"=") && !strings.HasPrefix(pair, "XDG_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, child+"=1", "HOME="+home, libraryEnv+"="+testenv.ORTLibrary(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	err := filepath.WalkDir(home, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			return errors.New(path + " was written")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
