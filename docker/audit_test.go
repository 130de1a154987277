package docker

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"
)

// made is the engine's description of a container that Create made.
func made() container.InspectResponse {
	s := valid()
	s.ModelsDir, s.SecretFiles = "/srv/models", map[string]string{"token": "/srv/token"}
	host := s.hostConfig(nil)
	host.MaskedPaths, host.ReadonlyPaths = []string{"/proc/kcore"}, []string{"/proc/sys"} // the engine's defaults
	answer := container.InspectResponse{
		ContainerJSONBase: &container.ContainerJSONBase{
			ID: "x", Name: "/" + s.Name, State: &container.State{Status: "running"}, HostConfig: host,
		},
		Config:          s.config("sha256:0", nil),
		NetworkSettings: &container.NetworkSettings{Networks: map[string]*network.EndpointSettings{}},
	}
	for _, m := range host.Mounts {
		answer.Mounts = append(answer.Mounts, container.MountPoint{
			Type: m.Type, Source: m.Source, Destination: m.Target, RW: !m.ReadOnly, Propagation: m.BindOptions.Propagation,
		})
	}
	return answer
}

func TestOwnContainerHasNoViolations(t *testing.T) {
	if found := status(made()).Violations; len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

func TestViolations(t *testing.T) {
	zero, yes := int64(0), true
	bind := func(m container.MountPoint) func(*container.InspectResponse) {
		return func(a *container.InspectResponse) { a.Mounts = append(a.Mounts, m) }
	}
	for _, test := range []struct {
		want   string
		change func(*container.InspectResponse)
	}{
		{"privileged: true", func(a *container.InspectResponse) { a.HostConfig.Privileged = true }},
		{"read_only: false", func(a *container.InspectResponse) { a.HostConfig.ReadonlyRootfs = false }},
		{"cap_add: [SYS_ADMIN]", func(a *container.InspectResponse) { a.HostConfig.CapAdd = []string{"SYS_ADMIN"} }},
		{"cap_drop: []", func(a *container.InspectResponse) { a.HostConfig.CapDrop = nil }},
		{"security_opt: no ", func(a *container.InspectResponse) { a.HostConfig.SecurityOpt = nil }},
		{"security_opt: seccomp=unconfined", func(a *container.InspectResponse) {
			a.HostConfig.SecurityOpt = append(a.HostConfig.SecurityOpt, "seccomp=unconfined")
		}},
		{"security_opt: systempaths=unconfined", func(a *container.InspectResponse) { a.HostConfig.MaskedPaths = []string{} }},
		{`user: ""`, func(a *container.InspectResponse) { a.Config.User = "" }},
		{`user: "0:65532"`, func(a *container.InspectResponse) { a.Config.User = "0:65532" }},
		{`user: "65532"`, func(a *container.InspectResponse) { a.Config.User = "65532" }}, // the image determines the group
		{"group_add: [docker]", func(a *container.InspectResponse) { a.HostConfig.GroupAdd = []string{"docker"} }},
		{"restart: always", func(a *container.InspectResponse) { a.HostConfig.RestartPolicy.Name = "always" }},
		{"network: host", func(a *container.InspectResponse) { a.HostConfig.NetworkMode = "host" }},
		{"network: \"container:y\"", func(a *container.InspectResponse) { a.HostConfig.NetworkMode = "container:y" }},
		{"pid: host", func(a *container.InspectResponse) { a.HostConfig.PidMode = "host" }},
		{"ipc: host", func(a *container.InspectResponse) { a.HostConfig.IpcMode = "host" }},
		{"ipc: shareable", func(a *container.InspectResponse) { a.HostConfig.IpcMode = container.IPCModeShareable }},
		{"uts: host", func(a *container.InspectResponse) { a.HostConfig.UTSMode = "host" }},
		{"userns: host", func(a *container.InspectResponse) { a.HostConfig.UsernsMode = "host" }},
		{"publish_all: true", func(a *container.InspectResponse) { a.HostConfig.PublishAllPorts = true }},
		{`ports: 8000/tcp on "0.0.0.0"`, func(a *container.InspectResponse) {
			a.HostConfig.PortBindings["8000/tcp"] = []nat.PortBinding{{HostIP: "0.0.0.0"}}
		}},
		{"devices: 1", func(a *container.InspectResponse) { a.HostConfig.Devices = make([]container.DeviceMapping, 1) }},
		{"device_cgroup_rules: [a *:* rwm]", func(a *container.InspectResponse) { a.HostConfig.DeviceCgroupRules = []string{"a *:* rwm"} }},
		{"sysctls: map[x:1]", func(a *container.InspectResponse) { a.HostConfig.Sysctls = map[string]string{"x": "1"} }},
		{"memory_swap: 0", func(a *container.InspectResponse) { a.HostConfig.MemorySwap = 0 }},
		{"cpus: unlimited", func(a *container.InspectResponse) { a.HostConfig.NanoCPUs = 0 }},
		{"pids: unlimited", func(a *container.InspectResponse) { a.HostConfig.PidsLimit = &zero }},
		{"pids: unlimited", func(a *container.InspectResponse) { a.HostConfig.PidsLimit = nil }},
		{"oom_kill_disable: true", func(a *container.InspectResponse) { a.HostConfig.OomKillDisable = &yes }},
		{"volumes: [/:/host] []", func(a *container.InspectResponse) { a.HostConfig.Binds = []string{"/:/host"} }},
		{"tmpfs: /tmp rw", func(a *container.InspectResponse) { a.HostConfig.Tmpfs[TmpPath] = "rw" }},
		{"mounts: volume /data, writable: true", bind(container.MountPoint{Type: mount.TypeVolume, Destination: "/data", RW: true})},
		{"mounts: bind /models, writable: true", bind(container.MountPoint{Type: mount.TypeBind, Source: "/srv", Destination: "/models", RW: true})},
		{"mounts: bind /host, writable: false", bind(container.MountPoint{Type: mount.TypeBind, Source: "/srv", Destination: "/host"})},
		{"mounts: /models, propagation rshared", bind(container.MountPoint{Type: mount.TypeBind, Source: "/srv", Destination: "/models", Propagation: "rshared"})},
		{"mounts: /run/docker.sock is or contains", bind(container.MountPoint{
			Type: mount.TypeBind, Source: "/run/docker.sock", Destination: "/run/secrets/s", Propagation: "rprivate",
		})},
		{"env: LD_PRELOAD", func(a *container.InspectResponse) { a.Config.Env = append(a.Config.Env, "LD_PRELOAD=x") }},
	} {
		t.Run(test.want, func(t *testing.T) {
			answer := made()
			test.change(&answer)
			found := status(answer).Violations
			if len(found) != 1 || !strings.HasPrefix(found[0], test.want) {
				t.Errorf("found %q", found)
			}
		})
	}
	answer := made()
	answer.HostConfig.Memory = 0
	if found := violations(answer); !slices.Contains(found, "memory: unlimited") {
		t.Errorf("found %q", found)
	}
}
