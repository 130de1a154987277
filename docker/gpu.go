package docker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
)

const (
	driverNVIDIA = "nvidia"
	driverCDI    = "cdi"
	cdiKind      = "nvidia.com/gpu"
	// The first version that knows CDI in a device request (Docker 25).
	cdiAPIVersion = "1.44"
)

// deviceRequests asks for exactly the GPUs of a request. Errors: ErrUnsupported.
func deviceRequests(g GPURequest, info Info) ([]container.DeviceRequest, error) {
	if len(g.UUIDs) == 0 {
		return nil, nil
	}
	driver, err := g.driver(info)
	if err != nil {
		return nil, err
	}
	if driver == driverNVIDIA {
		// Only the libraries for computing and for asking the driver come in, whatever the image asks for.
		return []container.DeviceRequest{{
			Driver: driverNVIDIA, DeviceIDs: g.UUIDs, Capabilities: [][]string{{"gpu", "compute", "utility"}},
		}}, nil
	}
	names := make([]string, len(g.UUIDs))
	for i, uuid := range g.UUIDs {
		names[i] = cdiName(uuid)
	}
	// CDI knows neither a count nor options.
	return []container.DeviceRequest{{Driver: driverCDI, DeviceIDs: names}}, nil
}

func cdiName(uuid string) string { return cdiKind + "=" + uuid }

// driver is the one that was asked for, or CDI if the engine knows all the GPUs by it, or nvidia. Whether the engine has
// the driver nvidia it does not tell before a container starts.
func (g GPURequest) driver(info Info) (string, error) {
	if g.Driver == driverNVIDIA {
		return driverNVIDIA, nil
	}
	known := info.CDIDevices
	if len(known) == 0 {
		specs, _ := readCDI(info.CDIDirs) // A broken file is CheckCDI's matter; the engine leaves it out as well.
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
		return "", fmt.Errorf("gpu.driver: %w: cdi needs Docker 25 or newer with it enabled (this is %s): set "+
			`"features": {"cdi": true} in its daemon.json, or use nvidia`, ErrUnsupported, or(info.ServerVersion, "unknown"))
	case len(missing) > 0 && len(known) > 0:
		return "", fmt.Errorf("gpu.driver: %w: no CDI specification names %s: run %s",
			ErrUnsupported, strings.Join(missing, ", "), cdiGenerate)
	}
	return driverCDI, nil // The specifications are perhaps not visible from here; the engine knows.
}
