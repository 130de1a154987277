package gpu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ControlDevice is the device file of NVIDIA's driver that every process opens.
const ControlDevice = "/dev/nvidiactl"

// ErrDetached: the kernel denies this process the driver's device. What it opened before still works.
var ErrDetached = errors.New("detached from the driver")

// Reachable opens and closes the driver's device, which involves the kernel but no GPU. In a container, systemd's daemon-reload
// can revoke access to it, which NVML and CUDA do not notice, since they have it open already. It returns ErrDetached then, and
// nil if there is no such device, as in the Windows Subsystem for Linux.
func Reachable(device string) error {
	fd, err := syscall.Open(device, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	switch {
	case err == nil:
		return syscall.Close(fd)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrDetached, &os.PathError{Op: "open", Path: device, Err: err})
	}
	return nil // other failures show in NVML
}
