package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// MinToolkit is the first version of the NVIDIA Container Toolkit out of which no container is known to escape.
const MinToolkit = "1.19.1"

var toolkitVersion = regexp.MustCompile(`(?m)\bversion:? +v?(\d{1,5}\.\d{1,5}\.\d{1,5})(-\S+)?`)

// ToolkitVersion asks the NVIDIA Container Toolkit's own program for its version, as 1.19.1 or 1.19.1-rc.1. Errors:
// exec.ErrNotFound where it is not installed, or not to be seen from here.
func ToolkitVersion(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nvidia-ctk", "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("nvidia-ctk --version: %w", err)
	}
	version := parseToolkit(string(out))
	if version == "" {
		return "", fmt.Errorf("nvidia-ctk --version: no version in %.80q", out)
	}
	return version, nil
}

func parseToolkit(text string) string {
	found := toolkitVersion.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return found[1] + found[2]
}

// CheckToolkit judges what ToolkitVersion returned.
func CheckToolkit(version string, err error) Check {
	const name = "NVIDIA Container Toolkit"
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return bad(name, "install nvidia-container-toolkit "+MinToolkit+" or newer; where Fovea itself runs in a container, look on the host",
			"nvidia-ctk is not in the PATH")
	case err != nil:
		return bad(name, "install nvidia-container-toolkit anew", "%v", err)
	case below(version, MinToolkit):
		return bad(name, "update nvidia-container-toolkit to "+MinToolkit+" or newer", "version %s, out of which containers can escape", version)
	}
	return ok(name, "version %s", version)
}

// below compares versions as 1.19.1; one that comes before a release, as 1.19.1-rc.1, is below it.
func below(version, floor string) bool {
	number, early, _ := strings.Cut(version, "-")
	theirs, ours := strings.Split(number, "."), strings.Split(floor, ".")
	for i := range min(len(theirs), len(ours)) {
		a, errA := strconv.Atoi(theirs[i])
		b, errB := strconv.Atoi(ours[i])
		if errA != nil || errB != nil {
			return true
		}
		if a != b {
			return a < b
		}
	}
	return len(theirs) < len(ours) || strings.HasPrefix(early, "rc")
}

// deviceLinks tells whether every NVIDIA device in a folder such as /dev has its link in the folder char below it.
func deviceLinks(dev string) bool {
	devices, err := filepath.Glob(filepath.Join(dev, "nvidia*"))
	if err != nil {
		return false
	}
	linked := false
	for _, device := range devices {
		stat, err := os.Stat(device)
		if err != nil || stat.Mode()&os.ModeCharDevice == 0 {
			continue
		}
		system, ok := stat.Sys().(*syscall.Stat_t)
		if !ok {
			return false
		}
		major, minor := system.Rdev>>8&0xfff, system.Rdev&0xff|system.Rdev>>12&^0xff // As Linux packs them.
		if _, err := os.Stat(filepath.Join(dev, "char", fmt.Sprintf("%d:%d", major, minor))); err != nil {
			return false
		}
		linked = true
	}
	return linked
}
