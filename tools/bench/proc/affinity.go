package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pin restricts all threads of a process to cores. Threads that they create later inherit that.
func Pin(pid int, cores *unix.CPUSet) error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return fmt.Errorf("pin process %d: %w", pid, err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
		if err := unix.SchedSetaffinity(tid, cores); err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			return fmt.Errorf("pin process %d: %w", pid, err)
		}
	}
	return nil
}
