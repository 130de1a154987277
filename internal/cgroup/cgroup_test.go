package cgroup

import (
	"os"
	"runtime/debug"
	"testing"
	"testing/fstest"
)

// The files as systems of each kind show them.
const (
	v2Mount     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	v1Mounts    = "24 23 0:21 / /sys/fs/cgroup/cpu rw shared:7 - cgroup cgroup rw,cpu\n28 23 0:25 / /sys/fs/cgroup/memory rw shared:8 - cgroup cgroup rw,memory\n"
	v1Container = "700 690 0:25 /kubepods/pod1/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
	hybrid      = v1Mounts + "29 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)

func TestMemoryLimit(t *testing.T) {
	for name, test := range map[string]struct {
		groups, mounts string
		limits         map[string]string
		want           int64
	}{
		"version 2, in a container": {"0::/\n", v2Mount, map[string]string{"sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		"version 2, none":           {"0::/\n", v2Mount, map[string]string{"sys/fs/cgroup/memory.max": "max\n"}, 0},
		"version 2, of a service": {"0::/system.slice/fovea.service\n", v2Mount,
			map[string]string{"sys/fs/cgroup/system.slice/fovea.service/memory.max": "1073741824\n", "sys/fs/cgroup/system.slice/memory.max": "max\n"}, 1 << 30},
		"version 2, lower above": {"0::/pod/container\n", v2Mount,
			map[string]string{"sys/fs/cgroup/pod/container/memory.max": "max\n", "sys/fs/cgroup/pod/memory.max": "268435456\n"}, 256 << 20},
		"version 1": {"5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n", v1Mounts,
			map[string]string{"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "536870912\n"}, 512 << 20},
		"version 1, none": {"5:memory:/\n", v1Mounts, map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"version 1, in a container with the machine's paths": {"5:memory:/kubepods/pod1/abc\n", v1Container,
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"version 1, in a container with a path outside of the mount": {"5:memory:/other\n", v1Container,
			map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n"}, 128 << 20},
		"both, with memory in version 1": {"5:memory:/a\n0::/a\n", hybrid,
			map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "536870912\n"}, 512 << 20},
		"no controller for memory": {"4:cpu:/\n", v1Mounts, nil, 0},
		"not mounted":              {"0::/\n", v1Mounts, nil, 0},
		"malformed lines":          {"memory\n\n5:memory\n", "x\n - cgroup2\n", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(test.groups)}, "proc/self/mountinfo": {Data: []byte(test.mounts)}}
			for file, text := range test.limits {
				root[file] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := limit(root, "memory", memory); got != float64(test.want) {
				t.Errorf("%.0f; want %d", got, test.want)
			}
		})
	}
	if got := limit(fstest.MapFS{}, "memory", memory); got != 0 {
		t.Errorf("%.0f without /proc", got)
	}
}

func TestCPULimit(t *testing.T) {
	const v1Mount = "24 23 0:21 / /sys/fs/cgroup/cpu,cpuacct rw shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
	v1 := func(quota string) map[string]string {
		return map[string]string{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": quota, "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"}
	}
	for name, test := range map[string]struct {
		groups, mounts string
		files          map[string]string
		want           float64
	}{
		"version 2, half a core":        {"0::/\n", v2Mount, map[string]string{"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5},
		"version 2, none":               {"0::/\n", v2Mount, map[string]string{"sys/fs/cgroup/cpu.max": "max 100000\n"}, 0},
		"version 2, lower above":        {"0::/pod/c\n", v2Mount, map[string]string{"sys/fs/cgroup/pod/c/cpu.max": "400000 100000\n", "sys/fs/cgroup/pod/cpu.max": "30000 10000\n"}, 3},
		"version 2, malformed":          {"0::/\n", v2Mount, map[string]string{"sys/fs/cgroup/cpu.max": "1\n"}, 0},
		"version 1, two cores":          {"4:cpu,cpuacct:/a\n", v1Mount, v1("200000\n"), 2},
		"version 1, none":               {"4:cpu,cpuacct:/a\n", v1Mount, v1("-1\n"), 0},
		"version 1, without its period": {"4:cpu,cpuacct:/a\n", v1Mount, map[string]string{"sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "1000"}, 0},
		"cpuset is not cpu":             {"4:cpuset:/a\n", v1Mount, v1("200000\n"), 0},
	} {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(test.groups)}, "proc/self/mountinfo": {Data: []byte(test.mounts)}}
		for file, text := range test.files {
			root[file] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := limit(root, "cpu", cpu); got != test.want {
			t.Errorf("%s: %v; want %v", name, got, test.want)
		}
	}
}

// TestLimitGo compares with what the process itself has, which may be none.
func TestLimitGo(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t.Setenv("GOMEMLIMIT", "1GiB")
	if LimitGo(); debug.SetMemoryLimit(-1) != before {
		t.Error("it changed what the environment sets")
	}
	if err := os.Unsetenv("GOMEMLIMIT"); err != nil {
		t.Fatal(err)
	}
	want := before
	if n := MemoryLimit(); n > 0 {
		want = n / 2
	}
	if LimitGo(); debug.SetMemoryLimit(-1) != want {
		t.Errorf("%d; want %d", debug.SetMemoryLimit(-1), want)
	}
}

func FuzzLimit(f *testing.F) {
	f.Add("0::/a\n5:memory:/b\n", v2Mount+v1Container, "12\n")
	f.Add("0::/a\n", v2Mount, "1 2\n")
	f.Fuzz(func(t *testing.T, groups, mounts, text string) {
		root := fstest.MapFS{"proc/self/cgroup": {Data: []byte(groups)}, "proc/self/mountinfo": {Data: []byte(mounts)},
			"sys/fs/cgroup/memory.max": {Data: []byte(text)}, "sys/fs/cgroup/cpu.max": {Data: []byte(text)}}
		for _, got := range []float64{limit(root, "memory", memory), limit(root, "cpu", cpu)} {
			if !(got >= 0 && got < none) {
				t.Errorf("limit %v", got)
			}
		}
	})
}
