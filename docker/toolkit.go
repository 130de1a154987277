package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/versions"
)

// minToolkit is the first version of the NVIDIA Container Toolkit without known container escapes.
const minToolkit = "1.19.1"

var toolkitVersion = regexp.MustCompile(`(?m)\bversion:? +v?(\d{1,5}\.\d{1,5}\.\d{1,5})(-\S+)?`)

// installedToolkit returns the version of the NVIDIA Container Toolkit, such as 1.19.1 or 1.19.1-rc.1, from its own program. Errors:
// exec.ErrNotFound if it is not installed or not accessible.
func installedToolkit(ctx context.Context) (string, error) {
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

// checkToolkit checks the result of installedToolkit.
func checkToolkit(version string, err error) Check {
	const name = "NVIDIA Container Toolkit"
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return bad(name, "install nvidia-container-toolkit "+minToolkit+" or newer; if Fovea itself runs in a container, check on the host",
			"nvidia-ctk is not in PATH")
	case err != nil:
		return bad(name, "reinstall nvidia-container-toolkit", "%v", err)
	case olderThan(version, minToolkit):
		return bad(name, "update nvidia-container-toolkit to "+minToolkit+" or newer", "version %s has known container escapes", version)
	}
	return ok(name, "version %s", version)
}

// olderThan compares versions such as 1.19.1; a release candidate, such as 1.19.1-rc.1, is older than its release.
func olderThan(version, minimum string) bool {
	number, prerelease, _ := strings.Cut(version, "-")
	return versions.LessThan(number, minimum) || number == minimum && strings.HasPrefix(prerelease, "rc")
}

// deviceLinks reports whether every NVIDIA device in a folder such as /dev has a link in its subfolder char.
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
		major, minor := system.Rdev>>8&0xfff, system.Rdev&0xff|system.Rdev>>12&^0xff // Linux's encoding
		if _, err := os.Stat(filepath.Join(dev, "char", fmt.Sprintf("%d:%d", major, minor))); err != nil {
			return false
		}
		linked = true
	}
	return linked
}
