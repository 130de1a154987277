package inference

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// The nice value of a thread that loads a model is that of the process and loadNiceness, so that runs get ten times its share of a core that both
// want.
const (
	loadNiceness = 10
	mostNice     = 19
)

// lowerPriority leaves the cores to other threads where these want them, until the calling goroutine returns: its thread ends with it, since a
// nice value is not taken back without a privilege. Threads that it creates have the same one.
func lowerPriority() {
	runtime.LockOSThread()
	if p, err := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid()); err == nil { // 20 minus the nice value
		_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), min(20-p+loadNiceness, mostNice)) // a refusal leaves it as it is
	}
}
