//go:build engine

package docker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
)

// simulated skips where the engine does not have the bench's GPUs: GPU i has the UUID GPU-00000000-…-i, and CDI gives a
// container the variable GPU_SIM_VISIBLE_i.
func simulated(t *testing.T, c *Client) Info {
	t.Helper()
	info, err := c.Info(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	specs, err := readCDI(info.CDIDirs)
	if err != nil || !slices.Contains(specs.names(), cdiName(gpu3)) {
		t.Skipf("no simulated GPUs here: %v", err)
	}
	return info
}

func TestEngineGPUsArePinned(t *testing.T) {
	c := engine(t)
	simulated(t, c)
	image := testImage(t)
	for _, test := range []struct {
		name    string
		request GPURequest
		visible string            // NVIDIA_VISIBLE_DEVICES
		cdi     map[string]string // GPU_SIM_VISIBLE_…
		devices []string
	}{
		{"by nvidia", GPURequest{UUIDs: []string{gpu3}, Driver: "nvidia"}, gpu3, nil, []string{}},
		{"two by nvidia", GPURequest{UUIDs: []string{gpu3, gpu0}, Driver: "nvidia"}, gpu3 + "," + gpu0, nil, []string{}},
		{"by cdi", GPURequest{UUIDs: []string{gpu3}, Driver: "cdi"}, "void", map[string]string{"GPU_SIM_VISIBLE_3": gpu3}, []string{"/dev/nvidia3"}},
		{"by what the engine has", GPURequest{UUIDs: []string{gpu3}}, "void", map[string]string{"GPU_SIM_VISIBLE_3": gpu3}, []string{"/dev/nvidia3"}},
		{"two by cdi", GPURequest{UUIDs: []string{gpu0, gpu3}, Driver: "cdi"}, "void", map[string]string{"GPU_SIM_VISIBLE_0": gpu0, "GPU_SIM_VISIBLE_3": gpu3}, []string{"/dev/nvidia0", "/dev/nvidia3"}},
		{"none", GPURequest{}, "void", nil, []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := testSpec(t, c, image)
			s.GPU = test.request
			p := start(t, c, s)
			env, got := get[map[string]string](t, p, "/env"), map[string]string{}
			for name, value := range env {
				if strings.HasPrefix(name, "GPU_SIM_VISIBLE_") {
					got[name] = value
				}
			}
			if env["NVIDIA_VISIBLE_DEVICES"] != test.visible || !maps.Equal(got, test.cdi) {
				t.Errorf("NVIDIA_VISIBLE_DEVICES=%s and %v", env["NVIDIA_VISIBLE_DEVICES"], got)
			}
			if devices := get[[]string](t, p, "/devices"); !slices.Equal(devices, test.devices) {
				t.Errorf("devices %v, want %v", devices, test.devices)
			}
			if p.status.Labels[LabelGPU] != strings.Join(test.request.UUIDs, ",") || len(p.status.Violations) > 0 {
				t.Errorf("labels %v, violations %q", p.status.Labels, p.status.Violations)
			}
		})
	}
}

func TestEngineDoctor(t *testing.T) {
	c := engine(t)
	simulated(t, c)
	s := testSpec(t, c, testImage(t))
	s.ModelsDir, _ = folders(t)
	s.GPU.UUIDs = []string{gpu3}
	bad := map[string]bool{}
	for _, check := range Doctor(context.Background(), "", s, "580.65.06") {
		t.Logf("%t %s: %s %s", check.OK, check.Name, check.Found, check.Advice)
		bad[check.Name] = !check.OK
	}
	for _, name := range []string{"container specification", "Docker engine", "image", "seccomp and limits", "models folder", "CDI specification", "GPUs after systemctl daemon-reload"} {
		if wrong, made := bad[name]; wrong || !made {
			t.Errorf("%s: made %t, wrong %t", name, made, wrong)
		}
	}
}
