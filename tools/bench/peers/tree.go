package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fovea/tools/bench/proc"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of its children's orphans: some servers start workers in separate sessions, which
// outlive them.
func adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt the servers' processes: %w", err)
	}
	return nil
}

// processes returns all processes of this machine, except those that exit meanwhile.
func processes() ([]proc.Stat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []proc.Stat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		s, err := proc.ReadStat(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// descendants returns the processes below root, without root.
func descendants(all []proc.Stat, root int) []proc.Stat {
	children := map[int][]proc.Stat{}
	for _, s := range all {
		children[s.Parent] = append(children[s.Parent], s)
	}
	var list []proc.Stat
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		list = append(list, children[todo[0]]...)
		for _, child := range children[todo[0]] {
			todo = append(todo, child.PID)
		}
	}
	return list
}

// tree returns the processes below this one. Since only one server runs at a time, they are the server's.
func tree() ([]proc.Stat, error) {
	all, err := processes()
	return descendants(all, os.Getpid()), err
}

// treeCPU returns the user and system time of the tree.
func treeCPU() (time.Duration, error) {
	list, err := tree()
	var cpu time.Duration
	for _, s := range list {
		cpu += s.CPU()
	}
	return cpu, err
}

// treePSS returns the tree's proportional set size in bytes: its memory, where a page that several processes share counts
// once.
func treePSS() (int64, error) {
	list, err := tree()
	var sum int64
	for _, s := range list {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.PID), "smaps_rollup"))
		if err != nil {
			continue // it has exited or is a zombie
		}
		sum += parsePSS(text)
	}
	return sum, err
}

// parsePSS reads the Pss of /proc/PID/smaps_rollup; 0 if there is none.
func parsePSS(text []byte) int64 {
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
