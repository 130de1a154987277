package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of a program of the distribution, such as nginx. It is looked for in the folder that FOVEA_TEST_SERVERS names, which
// scripts/servers makes, then where programs are. A test skips if it is not there.
func Program(t testing.TB, name string) string {
	t.Helper()
	unpacked := os.Getenv("FOVEA_TEST_SERVERS")
	candidates := []string{name, filepath.Join("/usr/sbin", name)}
	if unpacked != "" {
		candidates = []string{filepath.Join(unpacked, "usr/sbin", name), filepath.Join(unpacked, "usr/bin", name)}
	}
	for _, candidate := range candidates {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if unpacked != "" {
		t.Fatalf("FOVEA_TEST_SERVERS is %s, which has no %s", unpacked, name)
	}
	t.Skipf("%s is not installed; make test-docs runs this test with Debian's", name)
	return ""
}
