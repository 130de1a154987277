package gpu

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func TestReachable(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "nvidiactl")
	if err := Reachable(device); err != nil {
		t.Errorf("without a device: %v", err)
	}
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Reachable(device); err != nil {
		t.Errorf("a device that opens: %v", err)
	}
	if err := os.Chmod(device, 0); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error)
	go func() {
		// Root may open everything, so this thread becomes another user to the file system, and ends with the question.
		runtime.LockOSThread()
		_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0) // It returns the user before, never an error.
		asked <- Reachable(device)
	}()
	if err := <-asked; !errors.Is(err, ErrDetached) {
		t.Errorf("a device that is refused: %v", err)
	}
}
