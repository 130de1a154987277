package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"fovea/tools/bench/proc"

	"golang.org/x/sys/unix"
)

// pinned gives the processes that are measured the first core, and this one, with the clients, the others. Otherwise clients interrupt
// the server and not the loop that it is compared with. Child processes have all cores again unless o.start starts them.
func (o *options) pinned() error {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	if all.Count() < 2 {
		return errors.New("there is only one core; -pinned=false lets the clients share it")
	}
	first := 0
	for !all.IsSet(first) {
		first++
	}
	o.cores = &unix.CPUSet{}
	o.cores.Set(first)
	all.Clear(first)
	return proc.Pin(os.Getpid(), &all)
}

// start starts a process that is measured, on its core. It inherits that of the thread that starts it.
func (o *options) start(cmd *exec.Cmd) error {
	if o.cores == nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read the CPU affinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, o.cores); err != nil {
		return fmt.Errorf("set the CPU affinity: %w", err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}
