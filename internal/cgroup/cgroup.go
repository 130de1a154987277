// Package cgroup reads the memory and CPU limits of this process's control group, of version 1 or 2.
package cgroup

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// MemoryLimit returns the memory limit in bytes that held when it was first called, of the process's control group or one above it;
// 0: none, or none that can be read.
var MemoryLimit = sync.OnceValue(func() int64 { return int64(limit(os.DirFS("/"), "memory", memory)) })

// CPULimit returns how many cores the process may use at a time according to its control group and those above it, such as 0.5; 0: any.
var CPULimit = sync.OnceValue(func() float64 { return limit(os.DirFS("/"), "cpu", cpu) })

// goShare is the part of the memory limit that Go's memory may reach before the garbage collector works harder. Weights, arenas and
// decoded images are in C; Go holds the bodies, up to a quarter of the limit by default, and as much garbage.
const goShare = 2

// LimitGo sets Go's soft memory limit to half of the process's memory limit, unless the environment variable GOMEMLIMIT sets one.
func LimitGo() {
	if n := MemoryLimit(); n > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(n / goShare)
	}
}

// none is no limit. Version 1 says 2^63 − 1 bytes, rounded down to pages, for none.
const none = 1 << 60

// number is a number above 0; no limit if text is none, such as max or -1.
func number(text string) float64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < none {
		return float64(n)
	}
	return none
}

// numberIn reads a file with a number.
func numberIn(root fs.FS, file string) float64 {
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return none
	}
	return number(strings.TrimSpace(string(text)))
}

// memory reads the memory limit of a group in bytes.
func memory(root fs.FS, group string, version int) float64 {
	if version == 1 {
		return numberIn(root, group+"/memory.limit_in_bytes")
	}
	return numberIn(root, group+"/memory.max")
}

// cpu reads the CPU limit of a group in cores: its quota per period.
func cpu(root fs.FS, group string, version int) float64 {
	quota, period := float64(none), float64(none)
	if version == 1 {
		quota, period = numberIn(root, group+"/cpu.cfs_quota_us"), numberIn(root, group+"/cpu.cfs_period_us")
	} else if text, err := fs.ReadFile(root, group+"/cpu.max"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) == 2 {
			quota, period = number(fields[0]), number(fields[1])
		}
	}
	if quota == none || period == none {
		return none
	}
	return quota / period
}

// limit returns the lowest limit of the process's group and those above it, with read for one group; 0: none.
func limit(root fs.FS, controller string, read func(root fs.FS, group string, version int) float64) float64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	mounts, err := fs.ReadFile(root, "proc/self/mountinfo")
	if err != nil {
		return 0
	}
	lowest := float64(none)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 is hierarchy 0 without controllers (cgroups(7)).
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		version := 2
		if slices.Contains(strings.Split(parts[1], ","), controller) {
			version = 1
		} else if parts[1] != "" {
			continue
		}
		from, top, ok := mountOf(string(mounts), controller, version)
		if !ok {
			continue
		}
		for at := path.Clean("/" + within(from, parts[2])); ; at = path.Dir(at) {
			lowest = math.Min(lowest, read(root, strings.TrimPrefix(path.Join(top, at), "/"), version))
			if at == "/" {
				break
			}
		}
	}
	if lowest == none {
		return 0
	}
	return lowest
}

// mountOf finds where a hierarchy is mounted, and which of its folders is: the whole of it on a machine, in containers often the
// container's. Of version 1 it is that with the controller. The format is that of proc_pid_mountinfo(5).
func mountOf(mounts, controller string, version int) (from, at string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(line, " - ")
		fields, system := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(system) < 3 {
			continue
		}
		if version == 2 && system[0] == "cgroup2" || version == 1 && system[0] == "cgroup" && slices.Contains(strings.Split(system[2], ","), controller) {
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
