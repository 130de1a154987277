package onnx

import (
	"fmt"
	"strconv"
	"strings"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
)

// The kinds of device.
const (
	CPU  = "cpu"
	CUDA = "cuda"

	tensorRT = "tensorrt" // a CUDA device with TensorRT
	auto     = "auto"     // only between ParseDevice and Pick
)

// Device is where a session runs.
type Device struct {
	Kind  string // cpu, cuda; auto only between ParseDevice and Pick
	Index int    // number of the CUDA device, as this process sees it

	TensorRT bool // a CUDA device whose sessions may have engines (see Session.BuildEngine)
}

// String returns cpu, cuda:0, tensorrt:0, or auto.
func (d Device) String() string {
	switch {
	case d.TensorRT:
		return tensorRT + ":" + strconv.Itoa(d.Index)
	case d.Kind == CUDA:
		return d.Memory()
	}
	return d.Kind
}

// Memory names the memory of the device, which cuda:0 and tensorrt:0 share.
func (d Device) Memory() string {
	if d.Kind == CUDA {
		return CUDA + ":" + strconv.Itoa(d.Index)
	}
	return d.Kind
}

// ParseDevice reads auto (or nothing), cpu, cuda (the first device), cuda:N, tensorrt or tensorrt:N.
func ParseDevice(s string) (Device, error) {
	switch s {
	case "", auto:
		return Device{Kind: auto}, nil
	case CPU, CUDA:
		return Device{Kind: s}, nil
	case tensorRT:
		return Device{Kind: CUDA, TensorRT: true}, nil
	}
	kind, number, _ := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || kind != CUDA && kind != tensorRT {
		return Device{}, fmt.Errorf("device: %q is not one of auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N", s)
	}
	return Device{Kind: CUDA, Index: int(n), TensorRT: kind == tensorRT}, nil
}

// Pick chooses the device that want names (see ParseDevice) and gives the reason. A CUDA device that cannot be used is an
// error that names everything missing; with auto, Pick chooses the CPU instead and why holds that text. The library must
// be open.
func Pick(want string) (device Device, why string, err error) {
	device, err = ParseDevice(want)
	if err == nil && device.Kind == CUDA {
		err = checkCUDA(device)
	}
	if err == nil && device.TensorRT {
		err = checkTensorRT()
	}
	switch {
	case err != nil:
		return Device{}, "", err
	case device.Kind != auto:
		return device, "requested", nil
	}
	device = Device{Kind: CUDA}
	if err := checkCUDA(device); err != nil {
		return Device{Kind: CPU}, err.Error(), nil //nolint:nilerr // auto falls back to the CPU and reports why
	}
	return device, "auto: CUDA works", nil
}

// checkCUDA fails if a CUDA device cannot be used; the error names what is missing.
func checkCUDA(device Device) error {
	var n int
	var err error
	sigaction.Preserve(func() { // CUDA is initialized here for the first time and may install signal handlers
		var runtime *native.CUDA
		if runtime, err = openCUDA(); err == nil {
			n, err = runtime.Devices()
		}
	})
	if err != nil {
		return fmt.Errorf("device cuda: %w", err)
	}
	if device.Index >= n {
		return fmt.Errorf("device %s: there are %d CUDA devices, numbered from 0", device, n)
	}
	return nil
}
