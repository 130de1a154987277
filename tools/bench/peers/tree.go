package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// clockTick is the unit of the CPU times in /proc/PID/stat: USER_HZ, 100 on every Linux port (man 5 proc).
const clockTick = time.Second / 100

// stat holds fields of /proc/PID/stat.
type stat struct {
	pid, parent int
	zombie      bool
	cpu         time.Duration // user and system time of all threads
}

// parseStat reads /proc/PID/stat. The second field is the program's name in brackets and may hold anything.
func parseStat(text []byte) (stat, error) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return stat{}, errors.New("no name in brackets")
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("%d fields behind the name", len(fields))
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	parent, err2 := strconv.Atoi(fields[1])
	user, err3 := strconv.ParseInt(fields[11], 10, 64)
	system, err4 := strconv.ParseInt(fields[12], 10, 64)
	return stat{pid, parent, fields[0] == "Z", time.Duration(user+system) * clockTick}, errors.Join(err1, err2, err3, err4)
}

// CPU returns the user and system time of a process, of all its threads.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	s, err := parseStat(text)
	return s.cpu, err
}

// processes returns all processes of this machine, except those that exit meanwhile.
func processes() ([]stat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var list []stat
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := parseStat(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, s)
	}
	return list, nil
}

// descendants returns the processes below root, without root.
func descendants(all []stat, root int) []stat {
	children := map[int][]stat{}
	for _, s := range all {
		children[s.parent] = append(children[s.parent], s)
	}
	var list []stat
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		list = append(list, children[todo[0]]...)
		for _, child := range children[todo[0]] {
			todo = append(todo, child.pid)
		}
	}
	return list
}

// tree returns the processes below this one. Since only one server runs at a time, they are the server's.
func tree() ([]stat, error) {
	all, err := processes()
	return descendants(all, os.Getpid()), err
}

// treeCPU returns the user and system time of the tree.
func treeCPU() (time.Duration, error) {
	list, err := tree()
	var cpu time.Duration
	for _, s := range list {
		cpu += s.cpu
	}
	return cpu, err
}

// treePSS returns the tree's proportional set size in bytes: its memory, where a page that several processes share counts
// once.
func treePSS() (int64, error) {
	list, err := tree()
	var sum int64
	for _, s := range list {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.pid), "smaps_rollup"))
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
