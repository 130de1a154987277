package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// created is the body of a request to create a container.
type created struct {
	*container.Config
	HostConfig *container.HostConfig
}

// createOnFake creates a container on a fake engine and returns what the engine received.
func createOnFake(t *testing.T, s Spec) created {
	t.Helper()
	var got created
	c := script{routes: map[string]http.HandlerFunc{
		"GET /{v}/images/{name}/json": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, map[string]any{"Id": "sha256:0123", "Config": map[string]any{"User": "65532:65532"}})
		},
		"GET /{v}/info": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, map[string]any{"SecurityOptions": []string{"name=seccomp,profile=builtin"}, "MemoryLimit": true, "PidsLimit": true, "CpuCfsQuota": true})
		},
		"POST /{v}/containers/create": func(w http.ResponseWriter, r *http.Request) {
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"Id":"c0"}`))
		},
	}}.open(t)
	if id, err := c.Create(context.Background(), s); err != nil || id != "c0" {
		t.Fatalf("%q, %v", id, err)
	}
	return got
}

// What the audit of a running container cannot see.
func TestCreateRequest(t *testing.T) {
	s := valid()
	s.StopGrace = 12500 * time.Millisecond
	s.ModelsDir = t.TempDir()
	got := createOnFake(t, s)
	if got.Image != "sha256:0123" {
		t.Errorf("image %q, want the ID that was checked", got.Image)
	}
	if got.StopSignal != "SIGTERM" || got.StopTimeout == nil || *got.StopTimeout != 13 {
		t.Errorf("signal %s, grace period %v, want SIGTERM and 13 s", got.StopSignal, got.StopTimeout)
	}
	if got.Healthcheck == nil || !slices.Equal(got.Healthcheck.Test, []string{"NONE"}) {
		t.Errorf("health check %+v", got.Healthcheck)
	}
	host := got.HostConfig
	if host.Memory != s.Memory || host.MemorySwap != s.Memory {
		t.Errorf("memory %d, with swap %d, want %d without swap", host.Memory, host.MemorySwap, s.Memory)
	}
	limits := map[string]int64{"nofile": s.NoFile, "core": 0}
	for _, limit := range host.Ulimits {
		if want, ok := limits[limit.Name]; !ok || limit.Soft != want || limit.Hard != want {
			t.Errorf("ulimit %+v, want %d", limit, want)
		}
		delete(limits, limit.Name)
	}
	if len(limits) > 0 {
		t.Errorf("no ulimit: %v", limits)
	}
	want := mount.Mount{
		Type: mount.TypeBind, Source: s.ModelsDir, Target: ModelsPath, ReadOnly: true,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
	if len(host.Mounts) != 1 || host.Mounts[0].Source != want.Source || host.Mounts[0].Target != want.Target || !host.Mounts[0].ReadOnly ||
		host.Mounts[0].BindOptions == nil || host.Mounts[0].BindOptions.Propagation != mount.PropagationRPrivate {
		t.Errorf("mounts %+v, want %+v", host.Mounts, want)
	}
}

func TestStopGracePeriod(t *testing.T) {
	for grace, want := range map[time.Duration]string{
		0: "1", time.Nanosecond: "1", time.Second: "1", 1100 * time.Millisecond: "2", 30 * time.Second: "30",
	} {
		got := make(chan string, 1)
		c := script{routes: map[string]http.HandlerFunc{
			"POST /{v}/containers/x/stop": func(w http.ResponseWriter, r *http.Request) {
				got <- r.URL.Query().Get("t")
				w.WriteHeader(http.StatusNoContent)
			},
		}}.open(t)
		if err := c.Stop(context.Background(), "x", grace); err != nil {
			t.Fatal(err)
		}
		if seconds := <-got; seconds != want {
			t.Errorf("grace %s: the engine got %q s, want %s", grace, seconds, want)
		}
	}
}

// The timeout of a stop begins after the grace period.
func TestStopWaitsForTheGracePeriod(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{
		"POST /{v}/containers/x/stop": func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * quick.Stop) // longer than the timeout, shorter than the grace period
			w.WriteHeader(http.StatusNoContent)
		},
	}}.open(t)
	c.timeouts.Stop = quick.Stop
	if err := c.Stop(context.Background(), "x", time.Hour); err != nil {
		t.Error(err)
	}
}

func TestRemoveIsForced(t *testing.T) {
	got := make(chan string, 1)
	c := script{routes: map[string]http.HandlerFunc{
		"DELETE /{v}/containers/x": func(w http.ResponseWriter, r *http.Request) {
			got <- r.URL.Query().Encode()
			w.WriteHeader(http.StatusNoContent)
		},
	}}.open(t)
	if err := c.Remove(context.Background(), "x"); err != nil {
		t.Fatal(err)
	}
	if query := <-got; query != "force=1&v=1" {
		t.Errorf("removed with %q", query)
	}
}

// Replicas reach neither each other nor the outside.
func TestNetworkOptions(t *testing.T) {
	var got struct{ Options map[string]string }
	exists := false
	c := script{routes: map[string]http.HandlerFunc{
		"GET /{v}/networks/{name}": func(w http.ResponseWriter, _ *http.Request) {
			if !exists {
				fail(w, http.StatusNotFound, "no such network")
			}
		},
		"POST /{v}/networks/create": func(w http.ResponseWriter, r *http.Request) {
			exists = true
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"Id":"n0"}`))
		},
	}}.open(t)
	if err := c.EnsureNetwork(context.Background(), "fovea", "test"); err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"enable_icc", "enable_ip_masquerade"} {
		if value := got.Options["com.docker.network.bridge."+option]; value != "false" {
			t.Errorf("%s is %q", option, value)
		}
	}
}

func TestLargeCDIFileIsNotRead(t *testing.T) {
	dir := cdiDir(t, map[string]string{"nvidia.yaml": byUUID + "#" + strings.Repeat("x", maxCDIFile)})
	if specs, err := readCDI([]string{dir}); err == nil || len(specs) > 0 {
		t.Errorf("%d specifications, %v", len(specs), err)
	}
	if _, err := readCDIFile(dir); err == nil {
		t.Error("a folder was read as a file")
	}
}

// Only the port published on loopback is the container's.
func TestHostPortIsTheLoopbackOne(t *testing.T) {
	c := script{routes: map[string]http.HandlerFunc{
		"GET /{v}/containers/x/json": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, map[string]any{
				"Id": "x", "State": map[string]any{"Status": "running"}, "Config": map[string]any{}, "HostConfig": map[string]any{},
				"NetworkSettings": map[string]any{"Ports": map[string]any{"8000/tcp": []map[string]string{
					{"HostIp": "127.0.0.1", "HostPort": "40001"}, {"HostIp": "::", "HostPort": "40002"},
				}, "8001/tcp": []map[string]string{{"HostIp": "127.0.0.1", "HostPort": "40003"}, {"HostIp": "::", "HostPort": "40004"}}}},
			})
		},
		"GET /{v}/containers/json": func(w http.ResponseWriter, _ *http.Request) {
			reply(w, []map[string]any{{"Id": "x", "State": "running", "Ports": []map[string]any{
				{"IP": "127.0.0.1", "PrivatePort": 8000, "PublicPort": 40001}, {"IP": "::", "PrivatePort": 8000, "PublicPort": 40002},
				{"IP": "127.0.0.1", "PrivatePort": 8001, "PublicPort": 40003}, {"IP": "::", "PrivatePort": 8001, "PublicPort": 40004},
			}}})
		},
	}}.open(t)
	status, err := c.Inspect(context.Background(), "x")
	if err != nil || status.HostPort != 40001 || status.GRPCPort != 40003 {
		t.Errorf("inspected: ports %d and %d, %v", status.HostPort, status.GRPCPort, err)
	}
	list, err := c.List(context.Background(), nil)
	if err != nil || len(list) != 1 || list[0].HostPort != 40001 || list[0].GRPCPort != 40003 {
		t.Errorf("listed: %+v, %v", list, err)
	}
}

// A container has its port for gRPC on loopback only, and only if it is wanted; a specification without it has the hash that it had before.
func TestPortForGRPC(t *testing.T) {
	s := Defaults()
	for _, wanted := range []bool{false, true} {
		s.GRPC = wanted
		ports, exposed := s.published(), s.exposed()
		if bindings, ok := ports["8001/tcp"]; ok != wanted || len(ports) != len(exposed) || ok && (len(bindings) != 1 || bindings[0].HostIP != "127.0.0.1" || bindings[0].HostPort != "") {
			t.Errorf("wanted %v: published %v, exposed %v", wanted, ports, exposed)
		}
		if bindings := ports["8000/tcp"]; len(bindings) != 1 || bindings[0].HostIP != "127.0.0.1" {
			t.Errorf("wanted %v: published %v", wanted, ports)
		}
	}
	if with, without := s.Hash(), Defaults().Hash(); with == without {
		t.Error("the port makes no other container")
	}
	if encoded, err := json.Marshal(Defaults()); err != nil || bytes.Contains(encoded, []byte("GRPC")) {
		t.Errorf("%s, %v", encoded, err)
	}
}
