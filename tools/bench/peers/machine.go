package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pin restarts this program on the first n of its cores, unless it has at most n. Child processes inherit the affinity, so
// that all servers and the load share the same cores. It sets the affinity of one thread, which exec keeps.
func pin(n int) error {
	var now, want unix.CPUSet
	if err := unix.SchedGetaffinity(0, &now); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	if n <= 0 || now.Count() <= n {
		return nil
	}
	for i := 0; want.Count() < n; i++ {
		if now.IsSet(i) {
			want.Set(i)
		}
	}
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, &want); err != nil {
		return fmt.Errorf("pin to %d cores: %w", n, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, os.Environ())
}

func describe() Machine {
	m := Machine{CPU: firstValue("/proc/cpuinfo", "model name", ":"), Cores: runtime.NumCPU()}
	m.System = strings.Trim(firstValue("/etc/os-release", "PRETTY_NAME", "="), `"`)
	kib, _ := strconv.ParseInt(strings.TrimSuffix(firstValue("/proc/meminfo", "MemTotal", ":"), " kB"), 10, 64)
	m.MemoryMiB = kib >> 10
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(release))
	}
	return m
}

// firstValue returns the value of a file's first line with this key; empty if there is none.
func firstValue(path, key, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// packages are those of the peers' Python environment whose versions are reported.
const packages = "fastapi uvicorn litserve bentoml mosec onnxruntime opencv-python-headless pillow numpy"

const askVersions = `import importlib.metadata as m, json, platform
names = "` + packages + `".split()
print(json.dumps({"python": platform.python_version(), **{n: m.version(n) for n in names}}))`

// versions returns the installed versions in the peers' Python environment.
func versions(ctx context.Context, python string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text, err := exec.CommandContext(ctx, python, "-c", askVersions).Output()
	if err != nil {
		return nil, fmt.Errorf("the peers' Python, %s: %w (scripts/bench-peers installs it)", python, err)
	}
	found := map[string]string{}
	return found, json.Unmarshal(text, &found)
}
