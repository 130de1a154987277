package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat holds fields of /proc/PID/stat.
type Stat struct {
	PID, Parent  int
	User, System time.Duration // CPU time of all threads
	MinorFaults  int64         // pages mapped without I/O
}

// CPU is the user and system time.
func (s Stat) CPU() time.Duration { return s.User + s.System }

// clockTick is the unit of the CPU times: USER_HZ, 100 on every Linux port (man 5 proc).
const clockTick = time.Second / 100

// ParseStat reads /proc/PID/stat. The second field is the program's name in brackets and may hold anything.
func ParseStat(text []byte) (Stat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return Stat{}, errors.New("no name in brackets")
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 13 {
		return Stat{}, fmt.Errorf("%d fields behind the name", len(fields))
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	parent, err2 := strconv.Atoi(fields[1])
	faults, err3 := strconv.ParseInt(fields[7], 10, 64)
	user, err4 := strconv.ParseInt(fields[11], 10, 64)
	system, err5 := strconv.ParseInt(fields[12], 10, 64)
	return Stat{pid, parent, time.Duration(user) * clockTick, time.Duration(system) * clockTick, faults},
		errors.Join(err1, err2, err3, err4, err5)
}

// ReadStat reads the Stat of a process.
func ReadStat(pid int) (Stat, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	text, err := os.ReadFile(path)
	if err != nil {
		return Stat{}, err
	}
	s, err := ParseStat(text)
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// OwnCPU returns the user and system time of this process and of those that it started and that have ended. It is more exact than that
// of Stat.
func OwnCPU() time.Duration {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0 // it cannot fail with these
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}

// CPUOf returns the user and system time of all threads of a process, also of those that have ended, more exactly than Stat: by the
// process's CPU clock, whose ID is made as clock_getcpuclockid does in glibc (CPUCLOCK_SCHED).
func CPUOf(pid int) (time.Duration, error) {
	const sched = 2
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &at); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}
