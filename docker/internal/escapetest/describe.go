package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// describeContainer returns what the kernel says of process 1 and of the container's limits, devices and processes.
func describeContainer() map[string]string {
	found := map[string]string{"devices": strings.Join(devices(), " "), "processes": strings.Join(processes(), " ")}
	for line := range strings.Lines(read("/proc/1/status")) {
		key, value, _ := strings.Cut(line, ":")
		found["server "+key] = strings.Join(strings.Fields(value), " ")
	}
	for _, limit := range []struct{ name, v2, v1 string }{
		{"processes", "pids.max", "pids/pids.max"},
		{"memory", "memory.max", "memory/memory.limit_in_bytes"},
		{"swap", "memory.swap.max", "memory/memory.memsw.limit_in_bytes"}, // version 1 includes the memory
	} {
		version, path := "v2", filepath.Join("/sys/fs/cgroup", limit.v2)
		if _, err := os.Stat(path); err != nil {
			version, path = "v1", filepath.Join("/sys/fs/cgroup", limit.v1)
		}
		found[fmt.Sprintf("%s limit %s", limit.name, version)] = strings.TrimSpace(read(path))
	}
	return found
}

// read is a file's text, or why it cannot be read.
func read(path string) string {
	data, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// environment is that of process 1, which the engine does not report in full.
func environment() []string {
	return strings.FieldsFunc(read("/proc/1/environ"), func(r rune) bool { return r == 0 })
}

// devices lists the device nodes under /dev, without the terminals that the engine makes for each container.
func devices() (found []string) {
	_ = filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&fs.ModeDevice != 0 && !strings.HasPrefix(path, "/dev/pts/") {
			found = append(found, strings.TrimPrefix(path, "/dev/"))
		}
		return nil
	})
	return found
}

// processes lists the programs that this container sees.
func processes() (found []string) {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		found = append(found, strings.TrimSpace(read(name)))
	}
	return found
}
