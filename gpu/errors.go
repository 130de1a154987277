package gpu

import (
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

var (
	// ErrNoLibrary: NVML's library is not installed, which is normal on a machine without an NVIDIA driver.
	ErrNoLibrary = errors.New("no NVML library")
	// ErrNoDriver: the library is installed, but the driver is not loaded or not accessible to this process.
	ErrNoDriver = errors.New("no NVIDIA driver")
	// ErrUnresponsive: a call has not returned by its deadline.
	ErrUnresponsive = errors.New("no response in time")
	// ErrLost: the GPU fell off the bus or is unreachable for the driver for another reason.
	ErrLost = errors.New("the GPU is lost")
	// ErrNeedsRepair: the GPU responds, but takes no work until its recovery action is carried out.
	ErrNeedsRepair = errors.New("the GPU needs repair")
	// ErrUnknownDevice: this process sees no such GPU.
	ErrUnknownDevice = errors.New("no such GPU")
	// ErrClosed: NVML was closed.
	ErrClosed = errors.New("NVML is closed")

	errNotSupported = errors.New("not supported")
)

// statusTexts are the messages for statuses that a user may see. NVML has its own, but reading them is a call into a library
// that may hang or be unloaded.
var statusTexts = map[nvml.Return]string{
	nvml.ERROR_UNINITIALIZED:           "NVML is not initialized",
	nvml.ERROR_INVALID_ARGUMENT:        "invalid argument",
	nvml.ERROR_NO_PERMISSION:           "no permission",
	nvml.ERROR_NOT_FOUND:               "not found",
	nvml.ERROR_DRIVER_NOT_LOADED:       "the driver is not loaded",
	nvml.ERROR_TIMEOUT:                 "the driver timed out",
	nvml.ERROR_IRQ_ISSUE:               "the kernel reports a problem with the GPU's interrupts",
	nvml.ERROR_CORRUPTED_INFOROM:       "the GPU's infoROM is corrupted",
	nvml.ERROR_OPERATING_SYSTEM:        "the operating system refuses access to the GPU",
	nvml.ERROR_LIB_RM_VERSION_MISMATCH: "the library and the loaded driver differ in version: reload the driver or reboot",
	nvml.ERROR_MEMORY:                  "out of memory",
	nvml.ERROR_GPU_NOT_FOUND:           "no GPU found",
	nvml.ERROR_UNKNOWN:                 "unknown error",
}

// check returns a status as an error; nil for success.
func check(status nvml.Return) error {
	switch status {
	case nvml.SUCCESS:
		return nil
	case nvml.ERROR_GPU_IS_LOST:
		return ErrLost
	case nvml.ERROR_RESET_REQUIRED:
		return fmt.Errorf("%w: it must be reset", ErrNeedsRepair)
	case nvml.ERROR_NOT_SUPPORTED, nvml.ERROR_FUNCTION_NOT_FOUND:
		return errNotSupported
	}
	if text, ok := statusTexts[status]; ok {
		return fmt.Errorf("%s (NVML status %d)", text, int(status))
	}
	return fmt.Errorf("NVML status %d", int(status))
}

// fatal reports whether an error concerns the whole GPU, not only the value that was read.
func fatal(err error) bool {
	return errors.Is(err, ErrLost) || errors.Is(err, ErrNeedsRepair)
}
