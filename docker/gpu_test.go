package docker

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/system"
)

// cdiDir writes specifications by file name and returns their folder.
func cdiDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const byUUID = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: [{name: '0'}, {name: " + gpu0 + "}]\n"

func TestDeviceRequests(t *testing.T) {
	nvidia := []container.DeviceRequest{{Driver: "nvidia", DeviceIDs: []string{gpu0}, Capabilities: [][]string{{"gpu", "compute", "utility"}}}}
	cdi := []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=" + gpu0}}}
	uuids := []string{gpu0}
	with := Info{CDIDirs: []string{cdiDir(t, map[string]string{"nvidia.yaml": byUUID})}}
	json := Info{CDIDirs: []string{cdiDir(t, map[string]string{"nvidia.json": `{"kind": "nvidia.com/gpu", "devices": [{"name": "` + gpu0 + `"}]}`})}}
	byIndex := Info{CDIDirs: []string{cdiDir(t, map[string]string{"nvidia.yaml": "kind: nvidia.com/gpu\ndevices: [{name: '0'}]"})}}
	others := Info{CDIDirs: []string{cdiDir(t, map[string]string{"x.yaml": "kind: other.com/gpu\ndevices: [{name: " + gpu0 + "}]", "y.txt": byUUID})}}
	unseen := Info{CDIDirs: []string{"/nowhere"}}
	told := Info{CDIDirs: []string{"/nowhere"}, CDIDevices: []string{"nvidia.com/gpu=" + gpu0}}
	for _, test := range []struct {
		name    string
		request GPURequest
		info    Info
		want    []container.DeviceRequest
		err     error
	}{
		{"no GPU", GPURequest{Driver: "cdi"}, Info{}, nil, nil},
		{"an engine without CDI", GPURequest{UUIDs: uuids}, Info{}, nvidia, nil},
		{"CDI that names the GPU", GPURequest{UUIDs: uuids}, with, cdi, nil},
		{"CDI in JSON", GPURequest{UUIDs: uuids}, json, cdi, nil},
		{"CDI that the engine tells of", GPURequest{UUIDs: uuids}, told, cdi, nil},
		{"CDI that knows GPUs by index only", GPURequest{UUIDs: uuids}, byIndex, nvidia, nil},
		{"CDI that knows one GPU of two", GPURequest{UUIDs: []string{gpu0, gpu3}}, with, []container.DeviceRequest{{
			Driver: "nvidia", DeviceIDs: []string{gpu0, gpu3}, Capabilities: [][]string{{"gpu", "compute", "utility"}},
		}}, nil},
		{"CDI for other devices", GPURequest{UUIDs: uuids}, others, nvidia, nil},
		{"nvidia by choice", GPURequest{UUIDs: uuids, Driver: "nvidia"}, with, nvidia, nil},
		{"cdi by choice", GPURequest{UUIDs: uuids, Driver: "cdi"}, with, cdi, nil},
		{"cdi by choice, in folders not seen from here", GPURequest{UUIDs: uuids, Driver: "cdi"}, unseen, cdi, nil},
		{"cdi by choice, without CDI", GPURequest{UUIDs: uuids, Driver: "cdi"}, Info{}, nil, ErrUnsupported},
		{"cdi by choice, which does not name the GPU", GPURequest{UUIDs: uuids, Driver: "cdi"}, byIndex, nil, ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := deviceRequests(test.request, test.info)
			if !errors.Is(err, test.err) || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestNVIDIAVisibleDevicesIsSet(t *testing.T) {
	cdi := Info{CDIDirs: []string{cdiDir(t, map[string]string{"nvidia.yaml": byUUID})}}
	for _, test := range []struct {
		request GPURequest
		want    string
	}{
		{GPURequest{}, "void"},
		{GPURequest{UUIDs: []string{gpu0}}, "void"}, // by CDI
		{GPURequest{UUIDs: []string{gpu0, gpu3}, Driver: "nvidia"}, gpu0 + "," + gpu3},
	} {
		requests, err := deviceRequests(test.request, cdi)
		if err != nil {
			t.Fatal(err)
		}
		if env := valid().config("x", requests).Env; len(env) != 1 || env[0] != "NVIDIA_VISIBLE_DEVICES="+test.want {
			t.Errorf("%+v: got %q", test.request, env)
		}
	}
}

func TestInfo(t *testing.T) {
	answer := system.Info{
		SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=rootless", "name=userns"},
		CDISpecDirs:     []string{"/etc/cdi"}, CgroupDriver: "systemd", MemoryLimit: true, PidsLimit: true, CPUCfsQuota: true,
		DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "nvidia.com/gpu=0"}, {Source: "other", ID: "x"}},
	}
	got := info(answer, "1.44")
	if !got.Rootless || !got.UserNamespaces || got.Seccomp != "builtin" || len(got.CDIDirs) != 1 || len(got.CDIDevices) != 1 || got.check() != nil {
		t.Errorf("got %+v, %v", got, got.check())
	}
	if old := info(answer, "1.43"); len(old.CDIDirs) != 0 {
		t.Error("CDI on an engine without it")
	}
	for _, options := range [][]string{nil, {"name=seccomp,profile=unconfined"}, {"name=apparmor"}} {
		answer.SecurityOptions = options
		if err := info(answer, "1.44").check(); !errors.Is(err, ErrUnsafe) || !strings.HasPrefix(err.Error(), "seccomp: ") {
			t.Errorf("%q: got %v", options, err)
		}
	}
	if err := (Info{Seccomp: "builtin", CPUQuota: true, PidsLimit: true}).check(); !errors.Is(err, ErrUnsafe) || !strings.HasPrefix(err.Error(), "memory: ") {
		t.Errorf("an engine that cannot limit memory: %v", err)
	}
}

func TestCheckCDI(t *testing.T) {
	dir := t.TempDir()
	library := filepath.Join(dir, "libcuda.so.580.65.06")
	if err := os.WriteFile(library, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	written := time.Now().Add(-time.Hour)
	if err := os.Chtimes(library, written, written); err != nil {
		t.Fatal(err)
	}
	spec := func(edits string) string { return byUUID + "containerEdits: {" + edits + "}\n" }
	mount := func(path string) string { return spec("mounts: [{hostPath: " + path + ", containerPath: /x}]") }
	for _, test := range []struct {
		name, text, driver string
		found              string // empty: OK
	}{
		{"fits the driver", mount(library), "580.65.06", ""},
		{"the driver is not known", mount(library), "", ""},
		{"a device that is made by its number", spec("deviceNodes: [{path: /dev/nowhere, major: 1, minor: 3}]"), "", ""},
		{"is for another driver", mount(library), "590.1.2", "is for driver 580.65.06"},
		{"names a library that has gone", mount(dir + "/libcuda.so.570.1.1"), "", "libcuda.so.570.1.1 does not exist"},
		{"names a device that has gone", spec("deviceNodes: [{path: " + dir + "/nvidia7}]"), "", "nvidia7 does not exist"},
		{"does not name the GPU", "kind: nvidia.com/gpu\ndevices: [{name: '0'}]", "", "lists nvidia.com/gpu=" + gpu0},
		{"is not YAML", "kind: [", "", "nvidia.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			info := Info{CDIDirs: []string{filepath.Join(dir, "absent"), cdiDir(t, map[string]string{"nvidia.yaml": test.text})}}
			got := checkCDI(info, []string{gpu0}, test.driver)
			if got.OK != (test.found == "") || !strings.Contains(got.Found, test.found) || got.OK != (got.Advice == "") {
				t.Errorf("got %+v", got)
			}
		})
	}
	t.Run("is older than the driver's files", func(t *testing.T) {
		specs := cdiDir(t, map[string]string{"nvidia.yaml": mount(library)})
		old := written.Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(specs, "nvidia.yaml"), old, old); err != nil {
			t.Fatal(err)
		}
		if got := checkCDI(Info{CDIDirs: []string{specs}}, []string{gpu0}, "580.65.06"); got.OK || !strings.Contains(got.Found, "older than") {
			t.Errorf("got %+v", got)
		}
	})
	if got := checkCDI(Info{}, nil, ""); got.OK {
		t.Errorf("CDI not enabled: %+v", got)
	}
}

func FuzzParseCDI(f *testing.F) {
	for _, seed := range []string{byUUID, `{"kind": "nvidia.com/gpu"}`, "kind: [", "", "devices: {a: b}", "containerEdits: {mounts: [{hostPath: /x}]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<12 {
			t.Skip()
		}
		spec, err := parseCDI(data)
		if names := (cdiSpecs{spec}).names(); err == nil && len(names) != len(spec.Devices) {
			t.Errorf("%d names of %d devices", len(names), len(spec.Devices))
		}
	})
}
