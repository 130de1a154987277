//go:build image

package imagetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// project is compose.yaml with the test's settings; its containers are removed at the end.
type project struct {
	t    *testing.T
	args []string
}

// compose prepares a project with a separate name, ports, images and volume. The helper is mounted into its
// services. The profiles of the server are active, and those given.
func compose(t *testing.T, settings map[string]string, profiles ...string) *project {
	t.Helper()
	dir := t.TempDir()
	env, override := filepath.Join(dir, "env"), filepath.Join(dir, "override.yaml")
	text := "SERVE_TAG=imagetest\nSERVE_PORT=0\nSERVE_GPU_PORT=0\n"
	for key, value := range settings {
		text += key + "=" + value + "\n"
	}
	mount := fmt.Sprintf("volumes: [%q]", buildEscape(t)+":/escape:ro")
	over := fmt.Sprintf("services:\n  serve: {%[1]s}\n  serve-gpu: {%[1]s}\n  serve-gpu-cdi: {%[1]s}\n", mount)
	for path, content := range map[string]string{env: text, override: over} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := &project{t, []string{"compose", "--project-name", "fovea-imagetest", "--env-file", env,
		"--file", "compose.yaml", "--file", override, "--profile", "gpu", "--profile", "gpu-cdi"}}
	for _, profile := range profiles {
		p.args = append(p.args, "--profile", profile)
	}
	t.Cleanup(func() {
		if _, err := tryDocker(t, append(p.args, "down", "--volumes", "--timeout", "5")...); err != nil {
			t.Error(err)
		}
	})
	return p
}

// up starts one service and returns its container.
func (p *project) up(service string) *container {
	p.t.Helper()
	if _, err := run(buildTime, append(p.args, "up", "--detach", "--no-deps", "--build", service)...); err != nil {
		p.t.Fatal(err)
	}
	c := &container{id: docker(p.t, append(p.args, "ps", "--all", "--quiet", service)...)}
	p.t.Cleanup(func() {
		if p.t.Failed() {
			p.t.Logf("log of %s:\n%s", service, c.logs(p.t))
		}
	})
	c.url = "http://" + docker(p.t, append(p.args, "port", service, "8000")...)
	return c
}

// settings are those of a container, as the engine has them.
type settings struct {
	Config struct {
		User        string
		StopTimeout *int
		Env         []string
	}
	HostConfig struct {
		ReadonlyRootfs, Privileged bool
		CapDrop, SecurityOpt       []string
		PidsLimit                  int64
		Memory, MemorySwap         int64
		ShmSize                    int64
		Tmpfs                      map[string]string
		RestartPolicy              struct{ Name string }
		LogConfig                  struct{ Config map[string]string }
		PortBindings               map[string][]struct{ HostIP string }
		DeviceRequests             []struct{ DeviceIDs []string }
	}
	Mounts []struct {
		Destination string
		RW          bool
	}
}

// wantHardened checks what all services have in common.
func (s settings) wantHardened(t *testing.T, service string) {
	t.Helper()
	h := s.HostConfig
	for what, holds := range map[string]bool{
		"the root file system is read-only": h.ReadonlyRootfs && !h.Privileged,
		"all capabilities are dropped":      slices.Equal(h.CapDrop, []string{"ALL"}),
		"no new privileges":                 slices.Contains(h.SecurityOpt, "no-new-privileges:true"),
		"processes are limited":             h.PidsLimit > 0,
		"memory is limited, without swap":   h.Memory > 0 && h.Memory == h.MemorySwap,
		"/tmp is bounded and runs nothing":  strings.Contains(h.Tmpfs["/tmp"], "noexec,nosuid,nodev,size="),
	} {
		if !holds {
			t.Errorf("%s: failed: %s", service, what)
		}
	}
}

// TestComposeServes runs a user's first command and checks the container's settings.
func TestComposeServes(t *testing.T) {
	begin := time.Now()
	c := compose(t, nil).up("serve")
	c.ready(t)
	c.wantEspresso(t)
	t.Logf("compose up, to the first right answer, with all layers in the cache: %s", time.Since(begin).Round(time.Second/10))

	var got settings
	inspect(t, c.id, &got)
	got.wantHardened(t, "serve")
	h := got.HostConfig
	check := func(what string, holds bool) {
		t.Helper()
		if !holds {
			t.Errorf("failed: %s", what)
		}
	}
	check("seccomp is the engine's default", !strings.Contains(strings.Join(h.SecurityOpt, " "), "seccomp"))
	check("shared memory is small", h.ShmSize == 16<<20)
	check("it is restarted", h.RestartPolicy.Name == "unless-stopped")
	check("logs are rotated", h.LogConfig.Config["max-size"] != "" && h.LogConfig.Config["max-file"] != "")
	check("it listens on 127.0.0.1", len(h.PortBindings["8000/tcp"]) == 1 && h.PortBindings["8000/tcp"][0].HostIP == "127.0.0.1")
	check("it may drain for more than 30 seconds", got.Config.StopTimeout != nil && *got.Config.StopTimeout > 30)
	models := false
	for _, m := range got.Mounts {
		models = models || m.Destination == "/models" && !m.RW
	}
	check("models are mounted read-only", models)

	outcome := c.escape(t, "attempts")
	if outcome["write /models"] != "read-only file system" || outcome["execute from /tmp"] != "permission denied" {
		t.Errorf("write /models: %q; execute from /tmp: %q", outcome["write /models"], outcome["execute from /tmp"])
	}
	wantLimits(t, outcome, "512", "2147483648")
}

func TestComposeMountsModels(t *testing.T) {
	dir := t.TempDir()
	id := docker(t, "create", cpuImage)
	defer docker(t, "rm", id)
	docker(t, "cp", id+":/models", dir)
	c := compose(t, map[string]string{"SERVE_MODELS": dir + "/models", "SERVE_MODEL": "none"}).up("serve")
	c.ready(t)
	c.wantEspresso(t)
}

// uuid returns the UUID of a simulated GPU of the test bench; it ends in its index.
func uuid(number int) string { return fmt.Sprintf("GPU-00000000-0000-4000-8000-%012x", number) }

// TestComposeAssignsGPUs starts the GPU services and reads the assigned GPUs from the server's environment and /dev.
func TestComposeAssignsGPUs(t *testing.T) {
	const free = "full null random tty urandom zero"
	for _, test := range []struct {
		name, service, gpus string
		environment         []string // exactly these variables that name GPUs
		devices             string
	}{
		{"one by the nvidia driver", "serve-gpu", uuid(3), []string{"NVIDIA_VISIBLE_DEVICES=" + uuid(3)}, free},
		{"two by the nvidia driver", "serve-gpu", uuid(2) + "," + uuid(5), []string{"NVIDIA_VISIBLE_DEVICES=" + uuid(2) + "," + uuid(5)}, free},
		{"one by CDI", "serve-gpu-cdi", uuid(4), []string{"GPU_SIM_VISIBLE_4=" + uuid(4)}, "full null nvidia4 random tty urandom zero"},
		{"one by CDI and number", "serve-gpu-cdi", "6", []string{"GPU_SIM_VISIBLE_6=" + uuid(6)}, "full null nvidia6 random tty urandom zero"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := compose(t, map[string]string{"SERVE_GPUS": test.gpus, "SERVE_DEVICE": "auto"}).up(test.service)
			c.ready(t)
			got := c.escape(t, "environment")
			var gpus []string
			for _, variable := range strings.Split(got["environment"], " ") {
				if strings.HasPrefix(variable, "NVIDIA_VISIBLE_DEVICES=") || strings.HasPrefix(variable, "GPU_SIM_VISIBLE_") {
					gpus = append(gpus, variable)
				}
			}
			if !slices.Equal(gpus, test.environment) {
				t.Errorf("the server got %v; want %v", gpus, test.environment)
			}
			if got["devices"] != test.devices {
				t.Errorf("the server sees the devices %q; want %q", got["devices"], test.devices)
			}
		})
	}
}
