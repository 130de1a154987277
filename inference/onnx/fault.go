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
	Code   int    // the CUDA error that is latched on the device, or that the runtime named; 0 for none
	Name   string // its name, such as cudaErrorIllegalAddress
	Cause  error
}

// Error returns the cause and, where one is known, the CUDA error.
func (e *DeviceError) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("%s: %v", e.Device, e.Cause)
	}
	return fmt.Sprintf("%s: CUDA error %d %s: %v", e.Device, e.Code, e.Name, e.Cause)
}

// Unwrap returns the cause.
func (e *DeviceError) Unwrap() error { return e.Cause }

// sticky are the CUDA errors after which the process can do no more CUDA work. The source is the text of
// cudaError_t in CUDA 13's driver_types.h: those marked "process" leave the process "in an inconsistent state
// and any further CUDA work will return the same error". The others do not say so but mean that the device or
// its context is gone.
var sticky = map[int]string{
	46:  "cudaErrorDevicesUnavailable",  // the device is busy, in exclusive use, or lost
	100: "cudaErrorNoDevice",            // at a run: the devices were taken from the container
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
	810: "cudaErrorMpsClientTerminated", // process: the MPS server ended it
	911: "cudaErrorExternalDevice",      // process
	999: "cudaErrorUnknown",             // what the driver says after an Xid it has no name for
}

// Sticky says whether err means that the device is lost to this process, so that only a new process helps.
// Errors such as too little memory are not sticky.
func Sticky(err error) bool {
	var device *DeviceError
	if !errors.As(err, &device) {
		return false
	}
	_, lost := sticky[device.Code]
	return lost
}

// failure is how ONNX Runtime 1.30 words a failed CUDA call: "CUDA failure 700: an illegal memory access was
// encountered ; GPU=0 ; …" (cuda_call.cc). cuBLAS and cuDNN failures read the same with numbers of their own,
// which say nothing about the device.
var failure = regexp.MustCompile(`\bCUDA failure (\d+)\b`)

// namedCode is the CUDA error that the text of err names, 0 for none.
func namedCode(err error) int {
	match := failure.FindStringSubmatch(err.Error())
	if match == nil {
		return 0
	}
	code, err := strconv.Atoi(match[1])
	if err != nil {
		return 0
	}
	return code
}

// deviceError makes a DeviceError of what a run on device returned. latched asks the device for the error that
// stays there; it knows better than the text, in which a failed cuDNN call can hide it.
func deviceError(device Device, err error, latched func() int) error {
	code := latched()
	if code == 0 {
		code = namedCode(err)
	}
	return &DeviceError{Device: device, Code: code, Name: sticky[code], Cause: err}
}

// Touch asks a device whether it still computes: it waits for the work that CUDA has on it and returns a *DeviceError
// when an error is latched there. It may take as long as that work, or for ever where a driver hangs. The CPU always
// answers.
func Touch(device Device) error {
	if device.Kind != CUDA {
		return nil
	}
	cuda, err := openCUDA()
	if err != nil {
		return fmt.Errorf("%s: %w", device, err)
	}
	if code := cuda.State(device.Index); code != 0 {
		return &DeviceError{Device: device, Code: code, Name: sticky[code], Cause: errors.New(cuda.Describe(code))}
	}
	return nil
}
