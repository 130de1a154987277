package onnx

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// DeviceError is a run that failed on a CUDA device.
type DeviceError struct {
	Device Device
	Code   int    // the CUDA error that persists on the device, or the one in the runtime's message; 0: none
	Name   string // its name, such as cudaErrorIllegalAddress
	Cause  error
}

// Error returns the cause and the CUDA error, if known.
func (e *DeviceError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("%s: %v", e.Device, e.Cause)
	}
	return fmt.Sprintf("%s: CUDA error %d %s: %v", e.Device, e.Code, e.Name, e.Cause)
}

// Unwrap returns the cause.
func (e *DeviceError) Unwrap() error { return e.Cause }

// lostCodes are the CUDA errors after which this process can do no more CUDA work, according to cudaError_t in CUDA 13's
// driver_types.h: those marked "process" leave the process "in an inconsistent state and any further CUDA work will
// return the same error". The others mean that the device or its context is gone.
var lostCodes = map[int]string{
	46:  "cudaErrorDevicesUnavailable",  // the device is busy, in exclusive use, or lost
	100: "cudaErrorNoDevice",            // during a run: the container lost its devices
	201: "cudaErrorDeviceUninitialized", // no valid context is left
	214: "cudaErrorECCUncorrectable",    // memory is corrupt
	220: "cudaErrorNvlinkUncorrectable", // a link is corrupt
	226: "cudaErrorContained",           // process
	700: "cudaErrorIllegalAddress",      // process
	702: "cudaErrorLaunchTimeout",       // process
	709: "cudaErrorContextIsDestroyed",  // the context is gone
	710: "cudaErrorAssert",              // the device cannot be used again
	714: "cudaErrorHardwareStackError",  // process
	715: "cudaErrorIllegalInstruction",  // process
	716: "cudaErrorMisalignedAddress",   // process
	717: "cudaErrorInvalidAddressSpace", // process
	718: "cudaErrorInvalidPc",           // process
	719: "cudaErrorLaunchFailure",       // process
	721: "cudaErrorTensorMemoryLeak",    // process
	810: "cudaErrorMpsClientTerminated", // process: terminated by the MPS server
	911: "cudaErrorExternalDevice",      // process
	999: "cudaErrorUnknown",             // the driver's error after an Xid without a specific code
}

// IsDeviceLost reports whether err means that the device is lost to this process and only a restart helps. Errors such as
// out of memory do not.
func IsDeviceLost(err error) bool {
	device, ok := errors.AsType[*DeviceError](err)
	return ok && lostCodes[device.Code] != ""
}

// cudaFailure matches ONNX Runtime 1.30's message for a failed CUDA call: "CUDA failure 700: an illegal memory access was
// encountered ; GPU=0 ; …" (cuda_call.cc). cuBLAS and cuDNN failures look alike but have different numbers, which say
// nothing about the device.
var cudaFailure = regexp.MustCompile(`\bCUDA failure (\d{1,9})\b`)

// deviceError wraps the error of a run on device. persistent is the error that persists on the device, 0 for none; it takes
// precedence over the text, where a failed cuDNN call can hide it.
func deviceError(device Device, err error, persistent int) error {
	code := persistent
	if match := cudaFailure.FindStringSubmatch(err.Error()); code == 0 && match != nil {
		code, _ = strconv.Atoi(match[1])
	}
	return &DeviceError{Device: device, Code: code, Name: lostCodes[code], Cause: err}
}

// CheckDevice checks that a device still works: it waits for the device's pending CUDA work and returns a *DeviceError if
// an error persists there. It takes as long as that work and never returns if the driver hangs. The CPU always works.
func CheckDevice(device Device) error {
	if device.Kind != CUDA {
		return nil
	}
	cuda, err := openCUDA()
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	if code := cuda.State(device.Index); code != 0 {
		return &DeviceError{Device: device, Code: code, Name: lostCodes[code], Cause: errors.New(cuda.Describe(code))}
	}
	return nil
}
