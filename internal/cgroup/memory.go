// Package cgroup reads the memory limit of this process's control group, of version 1 or 2. The CPU limit is Go's own business: see
// package cores.
package cgroup

import (
	"io/fs"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// unlimited is above every real limit: version 1 says 2^63 − 1, rounded down to pages, for none.
const unlimited = 1 << 60

// MemoryLimit returns the memory limit in bytes that held when it was first called, of the process's control group or one above it;
// 0: none, or none that can be read.
var MemoryLimit = sync.OnceValue(func() int64 { return limit(os.DirFS("/")) })

// goShare is the part of the memory limit that Go's memory may reach before the garbage collector works harder. Weights, arenas and
// decoded images are in C; Go holds the bodies, up to a quarter of the limit by default, and as much garbage.
const goShare = 2

// LimitGo sets Go's soft memory limit to half of the process's memory limit, unless the environment variable GOMEMLIMIT sets one.
func LimitGo() {
	if n := MemoryLimit(); n > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(n / goShare)
	}
}

// limit reads the limit from the files of a root file system.
func limit(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0
	}
	lowest := int64(unlimited)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 is hierarchy 0 without controllers (cgroups(7)).
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		kind, file := "cgroup2", "memory.max"
		switch {
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			kind, file = "cgroup", "memory.limit_in_bytes"
		case parts[1] != "":
			continue
		}
		if from, top, ok := mountOf(string(mounts), kind); ok {
			lowest = min(lowest, lowestLimit(root, top, within(from, parts[2]), file))
		}
	}
	if lowest == unlimited {
		return 0
	}
	return lowest
}

// mountOf finds where a hierarchy is mounted, and which of its folders is: the whole of it on a machine, in containers often the
// container's. Of version 1 it is that with the memory controller. The format is that of proc_pid_mountinfo(5).
func mountOf(mounts, kind string) (from, at string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		fields, system := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(system) < 3 || system[0] != kind {
			continue
		}
		if kind == "cgroup2" || slices.Contains(strings.Split(system[2], ","), "memory") {
			return fields[3], fields[4], true
		}
	}
	return "", "", false
}

// within is a group's path below the folder that is mounted. In a container without a name space for control groups, the path is
// the machine's while the mount is the container's own group: the mount's top then.
func within(from, group string) string {
	if from == "/" {
		return group
	}
	if below, ok := strings.CutPrefix(group, from); ok && (below == "" || below[0] == '/') {
		return below
	}
	return "/"
}

// lowestLimit is the lowest limit of a group and those above it.
func lowestLimit(root fs.FS, top, group, file string) int64 {
	lowest := int64(unlimited)
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		text, err := fs.ReadFile(root, strings.TrimPrefix(path.Join(top, at, file), "/"))
		if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
			lowest = min(lowest, n)
		}
		if at == "/" {
			return lowest
		}
	}
}
