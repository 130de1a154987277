//go:build image

package imagetest

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// buildEscape builds the escape test, which runs inside containers, and returns its path.
func buildEscape(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "escape")
	cmd := exec.Command("go", "build", "-o", program, "./docker/internal/escapetest")
	cmd.Dir, cmd.Env = root(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the escape test: %v\n%s", err, out)
	}
	return program
}

// escape runs the escape test inside a running container and returns each outcome.
func (c *container) escape(t *testing.T, mode string) map[string]string {
	t.Helper()
	outcome := map[string]string{}
	text := docker(t, "exec", c.id, "/escape", mode)
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		name, result, _ := strings.Cut(lines.Text(), "\t")
		outcome[name] = result
	}
	return outcome
}

// TestEscape attempts, from inside the server's container, what an intruder would.
func TestEscape(t *testing.T) {
	c := start(t, cpuImage, "--volume", buildEscape(t)+":/escape:ro")
	c.ready(t)
	got := c.escape(t, "attempts")
	wantConfined(t, got)
	wantOutcomes(t, got, []attempt{
		{"remove the server", "read-only file system"},
		{"fill /tmp", "no space left on device"},
		{"processes", "serve escape"},
	})
	wantLimits(t, got, "512", "1073741824")
	c.wantEspresso(t)
}

// attempt is one of the escape test's, or something that it reads, and the outcome.
type attempt struct{ name, outcome string }

// wantConfined checks the outcomes that all images of Fovea have in a hardened container.
func wantConfined(t *testing.T, got map[string]string) {
	t.Helper()
	const no, readOnly, none = "operation not permitted", "read-only file system", "0000000000000000"
	wantOutcomes(t, got, []attempt{
		{"write /", readOnly},
		{"write /usr/local/bin", readOnly},
		{"write /etc", readOnly},
		{"write /models", readOnly},
		{"write /tmp", "allowed"},
		{"execute from /tmp", "permission denied"},
		{"become root", no},
		{"chown a file to root", no},
		{"mount", no},
		{"remount / writable", no},
		{"create a device", no},
		{"raw socket", no},
		{"new user namespace", no},
		{"load a kernel module", no},
		{"change the clock", no},
		{"raise the file limit", no},
		{"read the kernel log", no},
		{"devices", "full null random tty urandom zero"},
		{"server Uid", "65532 65532 65532 65532"},
		{"server Gid", "65532 65532 65532 65532"},
		{"server CapEff", none},
		{"server CapPrm", none},
		{"server CapBnd", none},
		{"server CapInh", none},
		{"server CapAmb", none},
		{"server NoNewPrivs", "1"},
		{"server Seccomp", "2"},
	})
}

func wantOutcomes(t *testing.T, got map[string]string, all []attempt) {
	t.Helper()
	for _, want := range all {
		t.Logf("%-32s %s", want.name, got[want.name])
		if got[want.name] != want.outcome {
			t.Errorf("%s: %q; want %q", want.name, got[want.name], want.outcome)
		}
	}
}

// wantLimits checks the control group's limits. No swap is allowed: version 2 has a separate limit, version 1 counts
// memory and swap together.
func wantLimits(t *testing.T, got map[string]string, processes, memory string) {
	t.Helper()
	for name, want := range map[string]string{
		"processes limit v2": processes, "memory limit v2": memory, "swap limit v2": "0",
		"processes limit v1": processes, "memory limit v1": memory, "swap limit v1": memory,
	} {
		if value, asked := got[name]; asked {
			t.Logf("%-32s %s", name, value)
			if value != want {
				t.Errorf("%s is %q; want %s", name, value, want)
			}
		}
	}
	if got["memory limit v1"] == "" && got["memory limit v2"] == "" {
		t.Error("the helper reported no memory limit")
	}
}

func TestNoShell(t *testing.T) {
	c := start(t, cpuImage)
	for _, program := range []string{"sh", "/bin/sh", "/bin/bash", "busybox", "apt-get", "curl", "perl"} {
		out, err := tryDocker(t, "exec", c.id, program, "--version")
		if err == nil || !regexp.MustCompile(`not found|no such file`).MatchString(err.Error()) {
			t.Errorf("%s in the container: %q, %v", program, out, err)
		}
	}
}
