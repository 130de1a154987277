//go:build image

package imagetest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const superviseImage = "fovea-supervise:imagetest"

var buildSupervise = sync.OnceValue(func() error {
	return build(io.Discard, root(), "--target", "supervise", "-t", superviseImage)
})

// supervisor builds the supervisor's image once.
func supervisor(t *testing.T) string {
	t.Helper()
	if err := buildSupervise(); err != nil {
		t.Fatal(err)
	}
	return superviseImage
}

// fleet is deploy/supervise/compose.yaml as a separate project with the test's configuration.
func fleet(t *testing.T, name string) (args []string) {
	t.Helper()
	socket := strings.TrimPrefix(os.Getenv("DOCKER_HOST"), "unix://")
	if socket == "" {
		socket = "/var/run/docker.sock"
	}
	stat, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("name: %s\nimage: %s\nreplicas: 2\nlimits: {memory: 1GiB, cpus: 1}\ngateway: {address: \"127.0.0.1:0\"}\n", name, cpuImage)
	env := fmt.Sprintf("SUPERVISE_TAG=imagetest\nSUPERVISE_GROUP=%d\nSUPERVISE_CONFIG=%s\n", stat.Sys().(*syscall.Stat_t).Gid, dir)
	for path, content := range map[string]string{"supervise.yaml": text, "env": env} {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args = []string{"compose", "--project-name", name, "--env-file", filepath.Join(dir, "env"), "--file", "deploy/supervise/compose.yaml",
		"--profile", "gpu", "--profile", "proxied"}
	t.Cleanup(func() {
		if _, err := tryDocker(t, append(args, "down", "--volumes", "--timeout", "10")...); err != nil {
			t.Error(err)
		}
		for _, id := range replicas(t, name) {
			docker(t, "rm", "--force", id)
		}
		if _, err := tryDocker(t, "network", "inspect", name); err == nil {
			docker(t, "network", "rm", name)
		}
	})
	return args
}

// replicas returns the containers that a fleet's supervisor created.
func replicas(t *testing.T, name string) []string {
	t.Helper()
	ids := strings.Fields(docker(t, "ps", "--all", "--quiet", "--no-trunc", "--filter", "label=fovea.owner="+name))
	slices.Sort(ids)
	return ids
}

func TestComposeSupervises(t *testing.T) {
	const name = "fovea-imagetest-fleet"
	args := fleet(t, name)
	if _, err := run(buildTime, append(args, "up", "--detach", "--build", "supervise")...); err != nil {
		t.Fatal(err)
	}
	c := &container{id: docker(t, append(args, "ps", "--all", "--quiet", "supervise")...)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of supervise:\n%s", c.logs(t))
		}
	})
	wait(t, 2*time.Minute, "its own probe finds it well", func() bool { return c.state(t).State.Health.Status == "healthy" })
	status := func() (s struct {
		Gateway string
		Ready   int
	}) {
		t.Helper()
		if out, err := tryDocker(t, append(args, "exec", "-T", "supervise", "supervise", "status", "--json")...); err == nil {
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	wait(t, 2*time.Minute, "both replicas are ready", func() bool { return status().Ready == 2 })
	c.url = "http://" + status().Gateway
	c.wantEspresso(t)
	wantClosed(t, c.id)
	docker(t, append(args, "exec", "-T", "supervise", "supervise", "doctor")...)

	before := replicas(t, name)
	docker(t, append(args, "restart", "supervise")...)
	wait(t, 2*time.Minute, "the next one adopts both", func() bool { return status().Ready == 2 })
	if after := replicas(t, name); !slices.Equal(before, after) {
		t.Errorf("replicas %v became %v", before, after)
	}
	c.url = "http://" + status().Gateway
	c.wantEspresso(t)

	docker(t, "update", "--restart", "no", c.id)
	if _, err := tryDocker(t, append(args, "exec", "-T", "supervise", "supervise", "down")...); err != nil {
		t.Logf("the container exited during the command: %v", err)
	}
	if s := c.exited(t, 2*time.Minute); s.State.ExitCode != 0 || len(replicas(t, name)) > 0 {
		t.Errorf("after down: status %d, replicas %v", s.State.ExitCode, replicas(t, name))
	}
}

// wantClosed checks that the supervisor's container is hardened as its compose file says.
func wantClosed(t *testing.T, id string) {
	t.Helper()
	var got struct {
		Config     struct{ User string }
		HostConfig struct {
			ReadonlyRootfs, Privileged bool
			CapDrop, SecurityOpt       []string
			CapAdd                     []string
			PidsLimit                  int64
			Memory, MemorySwap         int64
		}
		Mounts []struct {
			Destination string
			RW          bool
		}
	}
	inspect(t, id, &got)
	h := got.HostConfig
	for what, holds := range map[string]bool{
		"it runs as an unprivileged user":   got.Config.User == "65532:65532",
		"its root is read-only":             h.ReadonlyRootfs && !h.Privileged,
		"it has no capabilities":            slices.Equal(h.CapDrop, []string{"ALL"}) && len(h.CapAdd) == 0,
		"it gets no new privileges":         slices.Equal(h.SecurityOpt, []string{"no-new-privileges:true"}),
		"processes and memory have a limit": h.PidsLimit > 0 && h.Memory > 0 && h.MemorySwap == h.Memory,
	} {
		if !holds {
			t.Errorf("failed: %s: %+v", what, got)
		}
	}
	for _, m := range got.Mounts {
		if writable := m.Destination == "/var/run/docker.sock" || m.Destination == "/var/lib/fovea/supervise"; m.RW != writable {
			t.Errorf("%s is writable: %v", m.Destination, m.RW)
		}
	}
}

// TestComposeSupervisesGPUs creates the other services' containers as far as possible without their images and a driver.
func TestComposeSupervisesGPUs(t *testing.T) {
	args := fleet(t, "fovea-imagetest-fleet-gpu")
	supervisor(t)
	docker(t, append(args, "config", "--quiet")...)
	docker(t, append(args, "create", "supervise-gpu")...)
	var got struct {
		HostConfig struct {
			DeviceRequests []struct {
				Driver       string
				Count        int
				Capabilities [][]string
			}
		}
	}
	inspect(t, docker(t, append(args, "ps", "--all", "--quiet", "supervise-gpu")...), &got)
	if r := got.HostConfig.DeviceRequests; len(r) != 1 || r[0].Driver != "nvidia" || r[0].Count != -1 || !slices.Contains(slices.Concat(r[0].Capabilities...), "utility") {
		t.Errorf("devices %+v", r)
	}
}

// TestUnits has systemd verify the shipped units, in a container without an init system.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	text := "FROM debian:bookworm-slim\nRUN apt-get update && apt-get install -y --no-install-recommends systemd && rm -rf /var/lib/apt/lists/* " +
		"&& groupadd -r docker && ln -s /bin/true /usr/local/bin/supervise\nCOPY supervise* /etc/systemd/system/\n"
	for _, unit := range []string{"supervise.service", "supervise.socket", "supervise-grpc.socket"} {
		data, err := os.ReadFile(filepath.Join(root(), "deploy/systemd", unit))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, unit), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	const image = "fovea-test:systemd"
	if err := build(io.Discard, dir, "-t", image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { docker(t, "rmi", "--force", image) })
	in := func(args ...string) string {
		t.Helper()
		return docker(t, append([]string{"run", "--rm", "--network", "none", image}, args...)...)
	}
	in("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/supervise.service", "/etc/systemd/system/supervise.socket", "/etc/systemd/system/supervise-grpc.socket")
	// 0 is safe, 10 is exposed; the threshold is in tenths.
	judged := in("systemd-analyze", "security", "--offline=true", "--threshold=16", "/etc/systemd/system/supervise.service")
	t.Log(judged[strings.LastIndex(judged, "→"):])
}
