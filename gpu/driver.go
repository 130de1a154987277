package gpu

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// Driver is what the NVIDIA driver says of itself.
type Driver struct {
	Version string // of the kernel driver, such as "580.95.05"
	// CUDA is the version that the CUDA driver library supports, such as "13.0"; empty if it does not say. It may be
	// newer than the kernel driver's own where NVIDIA's forward compatibility package is installed.
	CUDA string
}

// floors lists, by CUDA's major version, the oldest Linux driver that runs every minor version of it. Sources: NVIDIA,
// "CUDA Compatibility", Minor Version Compatibility, table 1; NVIDIA, "CUDA Toolkit Release Notes", table "CUDA Toolkit
// and Minimum Required Driver Version for CUDA Minor Version Compatibility".
var floors = map[int]string{
	11: "450.80.02",
	12: "525.60.13",
	13: "580.65.06",
}

// DriverFloor tells the oldest driver for a CUDA version such as "13.0". An error says that the version is not a
// version, or that its floor is not known to Fovea.
func DriverFloor(cuda string) (string, error) {
	version, err := parseVersion(cuda)
	if err != nil {
		return "", fmt.Errorf("CUDA version: %w", err)
	}
	floor, ok := floors[version[0]]
	if !ok {
		return "", fmt.Errorf("CUDA %s: the oldest driver for it is not known; known are CUDA 11, 12 and 13", cuda)
	}
	return floor, nil
}

// Check tells whether a driver is new enough for programs built with a CUDA version. The error says what is needed.
func Check(driver, cuda string) error {
	floor, err := DriverFloor(cuda)
	if err != nil {
		return err
	}
	have, err := parseVersion(driver)
	if err != nil {
		return fmt.Errorf("driver version: %w", err)
	}
	need, err := parseVersion(floor)
	if err != nil {
		return err
	}
	if slices.Compare(have, need) >= 0 {
		return nil
	}
	if have[0] < need[0] {
		floor = strconv.Itoa(need[0]) // The branch says enough, and every later release of it will do.
	}
	return fmt.Errorf("driver %s is too old for CUDA %s: needs %s or newer", driver, cuda, floor)
}

// Check tells whether this driver runs programs built with a CUDA version. A CUDA driver library of that major version
// or a newer one settles it: with the forward compatibility package it runs on an older kernel driver.
func (d Driver) Check(cuda string) error {
	need, err := parseVersion(cuda)
	if err != nil {
		return fmt.Errorf("CUDA version: %w", err)
	}
	if have, err := parseVersion(d.CUDA); err == nil && cmp.Compare(have[0], need[0]) >= 0 {
		return nil
	}
	return Check(d.Version, cuda)
}

// parseVersion reads numbers between dots. A last part "x" stands for the lowest of its kind.
func parseVersion(s string) ([]int, error) {
	parts := strings.Split(s, ".")
	numbers := make([]int, len(parts))
	for i, part := range parts {
		if part == "x" && i > 0 && i == len(parts)-1 {
			break
		}
		number, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a version: want numbers between dots", s)
		}
		numbers[i] = int(number)
	}
	return numbers, nil
}

// Driver reads the driver's versions.
func (n *NVML) Driver(ctx context.Context) (Driver, error) {
	return ask(ctx, n, n.system, func() (Driver, error) {
		version, status := n.api.SystemGetDriverVersion()
		if err := check(status); err != nil {
			return Driver{}, fmt.Errorf("driver version: %w", err)
		}
		return Driver{Version: version, CUDA: n.cuda()}, nil
	})
}

// cuda asks the newer function where there is one: it looks at the CUDA library that programs load, the older one only
// at the driver.
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
