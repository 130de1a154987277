package gpu

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Driver is the NVIDIA driver's versions.
type Driver struct {
	Version string // of the kernel driver, such as "580.95.05"
	// CUDA is the version that the CUDA driver library supports, such as "13.0"; empty if unknown. It may be newer than the
	// kernel driver's own if NVIDIA's forward compatibility package is installed.
	CUDA string
}

// minDrivers is, by CUDA's major version, the oldest Linux driver that runs every minor version of it. Sources: NVIDIA,
// "CUDA Compatibility", Minor Version Compatibility, table 1; NVIDIA, "CUDA Toolkit Release Notes", table "CUDA Toolkit
// and Minimum Required Driver Version for CUDA Minor Version Compatibility".
var minDrivers = map[int]string{
	11: "450.80.02",
	12: "525.60.13",
	13: "580.65.06",
}

// MinDriver returns the oldest driver for a CUDA version such as "13.0". It fails for what is not a version, and for a version
// that Fovea does not know.
func MinDriver(cuda string) (string, error) {
	version, err := parseVersion(cuda)
	if err != nil {
		return "", fmt.Errorf("CUDA version: %w", err)
	}
	minimum, ok := minDrivers[version[0]]
	if !ok {
		return "", fmt.Errorf("CUDA %s: the minimum driver is unknown; known are CUDA 11, 12 and 13", cuda)
	}
	return minimum, nil
}

// Check returns an error that names the minimum if a driver is too old for programs built with a CUDA version.
func Check(driver, cuda string) error {
	minimum, err := MinDriver(cuda)
	if err != nil {
		return err
	}
	have, err := parseVersion(driver)
	if err != nil {
		return fmt.Errorf("driver version: %w", err)
	}
	need, _ := parseVersion(minimum)
	if slices.Compare(have, need) >= 0 {
		return nil
	}
	if have[0] < need[0] {
		minimum = strconv.Itoa(need[0]) // the branch is enough: any release of it will do
	}
	return fmt.Errorf("driver %s is too old for CUDA %s: needs %s or newer", driver, cuda, minimum)
}

// Check returns an error if this driver cannot run programs built with a CUDA version. A CUDA driver library of that major
// version or newer is sufficient: with the forward compatibility package it runs on an older kernel driver.
func (d Driver) Check(cuda string) error {
	need, err := parseVersion(cuda)
	if err != nil {
		return fmt.Errorf("CUDA version: %w", err)
	}
	if have, err := parseVersion(d.CUDA); err == nil && have[0] >= need[0] {
		return nil
	}
	return Check(d.Version, cuda)
}

// parseVersion parses numbers separated by dots. A last part "x" counts as 0.
func parseVersion(s string) ([]int, error) {
	parts := strings.Split(s, ".")
	numbers := make([]int, len(parts))
	for i, part := range parts {
		if part == "x" && i > 0 && i == len(parts)-1 {
			break
		}
		number, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a version such as 12.4", s)
		}
		numbers[i] = int(number)
	}
	return numbers, nil
}

// Driver reads the driver's versions from NVML.
func (n *NVML) Driver(ctx context.Context) (Driver, error) {
	return ask(ctx, n, n.system, func() (Driver, error) {
		version, status := n.api.SystemGetDriverVersion()
		if err := check(status); err != nil {
			return Driver{}, fmt.Errorf("driver version: %w", err)
		}
		return Driver{Version: version, CUDA: n.cuda()}, nil
	})
}

// cuda prefers the newer function, which reports on the CUDA library that programs load; the older one only knows the driver.
func (n *NVML) cuda() string {
	ask := n.api.SystemGetCudaDriverVersion
	if n.has["nvmlSystemGetCudaDriverVersion_v2"] {
		ask = n.api.SystemGetCudaDriverVersion_v2
	}
	version, status := ask() // 1000 × major + 10 × minor
	if status != nvml.SUCCESS || version <= 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", version/1000, version%1000/10)
}
