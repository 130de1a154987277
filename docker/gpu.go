package docker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
)

const (
	driverNVIDIA = "nvidia"
	driverCDI    = "cdi"
	cdiKind      = "nvidia.com/gpu"
	// the first version with CDI in device requests (Docker 25)
	cdiAPIVersion = "1.44"
)

// deviceRequests requests exactly these GPUs. Errors: ErrUnsupported.
func deviceRequests(g GPURequest, info Info) ([]container.DeviceRequest, error) {
	if len(g.UUIDs) == 0 {
		return nil, nil
	}
	driver, err := g.driver(info)
	if err != nil {
		return nil, err
	}
	if driver == driverNVIDIA {
		// only the compute and utility libraries, whatever the image requests
		return []container.DeviceRequest{{
			Driver: driverNVIDIA, DeviceIDs: g.UUIDs, Capabilities: [][]string{{"gpu", "compute", "utility"}},
		}}, nil
	}
	names := make([]string, len(g.UUIDs))
	for i, uuid := range g.UUIDs {
		names[i] = cdiName(uuid)
	}
	// CDI has no count and no options
	return []container.DeviceRequest{{Driver: driverCDI, DeviceIDs: names}}, nil
}

func cdiName(uuid string) string { return cdiKind + "=" + uuid }

// driver returns the requested driver, or CDI if the engine knows all the GPUs by it, or nvidia. Whether the engine has the driver
// nvidia only shows when a container starts.
func (g GPURequest) driver(info Info) (string, error) {
	if g.Driver == driverNVIDIA {
		return driverNVIDIA, nil
	}
	known := info.CDIDevices
	if len(known) == 0 {
		specs, _ := readCDI(info.CDIDirs) // checkCDI reports broken files; the engine ignores them, too
		known = specs.names()
	}
	var missing []string
	for _, uuid := range g.UUIDs {
		if !slices.Contains(known, cdiName(uuid)) {
			missing = append(missing, cdiName(uuid))
		}
	}
	switch {
	case g.Driver == "" && (len(info.CDIDirs) == 0 || len(missing) > 0):
		return driverNVIDIA, nil
	case len(info.CDIDirs) == 0:
		return "", fmt.Errorf("gpu.driver: %w: cdi requires Docker 25 or newer with CDI enabled (this is %s): set "+
			`"features": {"cdi": true} in its daemon.json, or use nvidia`, ErrUnsupported, cmp.Or(info.ServerVersion, "unknown"))
	case len(missing) > 0 && len(known) > 0:
		return "", fmt.Errorf("gpu.driver: %w: no CDI specification names %s: run %s",
			ErrUnsupported, strings.Join(missing, ", "), cdiGenerate)
	}
	return driverCDI, nil // the specifications may not be accessible from here; the engine decides
}
