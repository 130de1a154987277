package docker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// violations returns how a container, made by anyone, deviates from the hardening of this package.
func violations(response container.InspectResponse) []string {
	var found findings
	host := response.HostConfig
	found.add(host.Privileged, "privileged: true")
	found.add(!host.ReadonlyRootfs, "read_only: false")
	found.add(len(host.CapAdd) > 0, "cap_add: %v", host.CapAdd)
	found.add(!slices.Contains(host.CapDrop, allCapabilities), "cap_drop: %v", host.CapDrop)
	found.add(!slices.Contains(host.SecurityOpt, noNewPrivileges), "security_opt: no %s", noNewPrivileges)
	for _, option := range host.SecurityOpt {
		found.add(option != noNewPrivileges, "security_opt: %s", option)
	}
	found.add(len(host.MaskedPaths) == 0 || len(host.ReadonlyPaths) == 0, "security_opt: systempaths=unconfined")
	found.add(rootUser(response.Config.User), "user: %q", response.Config.User)
	found.add(len(host.GroupAdd) > 0, "group_add: %v", host.GroupAdd)
	found.add(host.RestartPolicy.Name != container.RestartPolicyDisabled, "restart: %s", host.RestartPolicy.Name)
	found.namespaces(host)
	found.resources(host)
	found.mounts(response)
	for _, variable := range response.Config.Env {
		name, _, _ := strings.Cut(variable, "=")
		found.add(forbiddenLoaderVariable(name) != "", "env: %s", name)
	}
	return found
}

// findings are violations, each beginning with its key.
type findings []string

func (f *findings) add(violated bool, format string, args ...any) {
	if violated {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

func rootUser(user string) bool {
	uid, gid, _ := strings.Cut(user, ":")
	for _, id := range []string{uid, gid} {
		if n, err := strconv.ParseUint(id, 10, 31); err != nil || n == 0 {
			return true // names, too: the image maps them to any number
		}
	}
	return false
}

func (f *findings) namespaces(host *container.HostConfig) {
	message := wrongNetwork(string(host.NetworkMode))
	f.add(message != "", "network: %s", message)
	f.add(host.PidMode != "", "pid: %s", host.PidMode)
	f.add(host.IpcMode != container.IPCModePrivate, "ipc: %s", host.IpcMode)
	f.add(host.UTSMode != "", "uts: %s", host.UTSMode)
	f.add(host.UsernsMode != "", "userns: %s", host.UsernsMode)
	f.add(host.PublishAllPorts, "publish_all: true")
	for port, bindings := range host.PortBindings {
		for _, binding := range bindings {
			f.add(binding.HostIP != loopback, "ports: %s on %q", port, binding.HostIP)
		}
	}
}

func (f *findings) resources(host *container.HostConfig) {
	f.add(len(host.Devices) > 0, "devices: %d", len(host.Devices))
	f.add(len(host.DeviceCgroupRules) > 0, "device_cgroup_rules: %v", host.DeviceCgroupRules)
	f.add(len(host.Sysctls) > 0, "sysctls: %v", host.Sysctls)
	f.add(host.Memory <= 0, "memory: unlimited")
	// if the kernel cannot limit swap, the engine records -1 and warns
	f.add(host.MemorySwap != host.Memory && host.MemorySwap != -1, "memory_swap: %d", host.MemorySwap)
	f.add(host.NanoCPUs <= 0, "cpus: unlimited")
	f.add(host.PidsLimit == nil || *host.PidsLimit <= 0, "pids: unlimited")
	f.add(host.OomKillDisable != nil && *host.OomKillDisable, "oom_kill_disable: true")
}

func (f *findings) mounts(response container.InspectResponse) {
	host := response.HostConfig
	f.add(len(host.Binds) > 0 || len(host.VolumesFrom) > 0, "volumes: %v %v", host.Binds, host.VolumesFrom)
	for path, options := range host.Tmpfs {
		f.add(!strings.HasPrefix(options, tmpfsOptions+",") || !strings.Contains(options, "size="), "tmpfs: %s %s", path, options)
	}
	for _, m := range response.Mounts {
		allowed := m.Destination == ModelsPath || strings.HasPrefix(m.Destination, SecretsPath+"/")
		switch {
		case m.Type == mount.TypeTmpfs:
		case m.Type != mount.TypeBind || m.RW || !allowed:
			f.add(true, "mounts: %s %s, writable: %t", m.Type, m.Destination, m.RW)
		case m.Propagation != mount.PropagationRPrivate:
			f.add(true, "mounts: %s, propagation %s", m.Destination, m.Propagation)
		default:
			message := forbiddenSource(m.Source)
			f.add(message != "", "mounts: %s", message)
		}
	}
}
