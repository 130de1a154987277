package onnx

import (
	"fmt"
	"strconv"
	"strings"

	"fovea/inference/onnx/internal/sigaction"
)

// The kinds of device.
const (
	CPU  = "cpu"
	CUDA = "cuda"
	auto = "auto" // only between ParseDevice and Pick
)

// Device is where a session runs.
type Device struct {
	Kind  string // cpu, cuda; auto only between ParseDevice and Pick
	Index int    // number of the CUDA device, as this process sees it
}

// String returns cpu, cuda:0, or auto.
func (d Device) String() string {
	if d.Kind == CUDA {
		return CUDA + ":" + strconv.Itoa(d.Index)
	}
	return d.Kind
}

// Auto reports whether Pick has yet to choose the device.
func (d Device) Auto() bool { return d.Kind == auto }

// ParseDevice reads auto (or nothing), cpu, cuda (the first device) or cuda:N.
func ParseDevice(s string) (Device, error) {
	switch s {
	case "", auto:
		return Device{Kind: auto}, nil
	case CPU:
		return Device{Kind: CPU}, nil
	case CUDA:
		return Device{Kind: CUDA}, nil
	}
	if number, ok := strings.CutPrefix(s, CUDA+":"); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err == nil {
			return Device{Kind: CUDA, Index: int(n)}, nil
		}
	}
	return Device{}, fmt.Errorf("device %q is not known; allowed are auto, cpu, cuda and cuda:N", s)
}

// Pick chooses the device that want names (see ParseDevice) and gives the reason. A CUDA device that cannot be used is an
// error that names everything missing; with auto, Pick chooses the CPU instead and why holds that text. The library must
// be open.
func Pick(want string) (device Device, why string, err error) {
	device, err = ParseDevice(want)
	if err != nil {
		return Device{}, "", err
	}
	switch device.Kind {
	case CPU:
		return device, "requested", nil
	case CUDA:
		if err := checkCUDA(device); err != nil {
			return Device{}, "", err
		}
		return device, "requested", nil
	}
	device = Device{Kind: CUDA}
	if err := checkCUDA(device); err != nil {
		return Device{Kind: CPU}, err.Error(), nil //nolint:nilerr // auto falls back to the CPU and reports why
	}
	return device, "auto: CUDA works", nil
}

// CUDADevices is the number of CUDA devices that sessions can use; the error names what is missing.
func CUDADevices() (n int, err error) {
	// CUDA is initialized here for the first time and may install signal handlers.
	sigaction.Preserve(func() { n, err = countCUDA() })
	if err != nil {
		return 0, fmt.Errorf("device cuda: %w", err)
	}
	return n, nil
}

func countCUDA() (int, error) {
	runtime, err := openCUDA()
	if err != nil {
		return 0, err
	}
	return runtime.Devices()
}

func checkCUDA(device Device) error {
	n, err := CUDADevices()
	if err != nil {
		return err
	}
	if device.Index >= n {
		return fmt.Errorf("device %s: there are %d CUDA devices, numbered from 0", device, n)
	}
	return nil
}
