package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ControlDevice is the device through which every process reaches NVIDIA's driver.
const ControlDevice = "/dev/nvidiactl"

// ErrDetached: the kernel refuses this process the driver's device. What was opened before works on.
var ErrDetached = errors.New("detached from the driver")

// Reachable opens the driver's device and closes it again, which asks the kernel and not the GPU. In a container, systemd's
// daemon-reload can take the right to do so away; NVML and CUDA notice nothing, since theirs is open already.
// Errors: ErrDetached. Nil where there is no such device, as in Windows' subsystem for Linux.
func Reachable(device string) error {
	fd, err := syscall.Open(device, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	switch {
	case err == nil:
		return syscall.Close(fd)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDetached, &os.PathError{Op: "open", Path: device, Err: err})
	}
	return nil // What else fails is for NVML to say.
}
