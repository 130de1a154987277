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
	var found []string
	add := func(violated bool, format string, args ...any) {
		if violated {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	host := response.HostConfig
	add(host.Privileged, "privileged: true")
	add(!host.ReadonlyRootfs, "read_only: false")
	add(len(host.CapAdd) > 0, "cap_add: %v", host.CapAdd)
	add(!slices.Contains(host.CapDrop, allCapabilities), "cap_drop: %v", host.CapDrop)
	add(!slices.Contains(host.SecurityOpt, noNewPrivileges), "security_opt: no %s", noNewPrivileges)
	for _, option := range host.SecurityOpt {
		add(option != noNewPrivileges, "security_opt: %s", option)
	}
	add(len(host.MaskedPaths) == 0 || len(host.ReadonlyPaths) == 0, "security_opt: systempaths=unconfined")
	add(rootUser(response.Config.User), "user: %q", response.Config.User)
	add(len(host.GroupAdd) > 0, "group_add: %v", host.GroupAdd)
	add(host.RestartPolicy.Name != container.RestartPolicyDisabled, "restart: %s", host.RestartPolicy.Name)
	found = append(found, namespaceViolations(host)...)
	found = append(found, resourceViolations(host)...)
	found = append(found, mountViolations(response)...)
	for _, variable := range response.Config.Env {
		name, _, _ := strings.Cut(variable, "=")
		add(forbiddenLoaderVariable(name) != "", "env: %s", name)
	}
	return found
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

func namespaceViolations(host *container.HostConfig) []string {
	var found []string
	if message := wrongNetwork(string(host.NetworkMode)); message != "" {
		found = append(found, "network: "+message)
	}
	for _, mode := range []struct{ key, value, allowed string }{
		{"pid", string(host.PidMode), ""}, {"ipc", string(host.IpcMode), string(container.IPCModePrivate)},
		{"uts", string(host.UTSMode), ""}, {"userns", string(host.UsernsMode), ""},
	} {
		if mode.value != mode.allowed {
			found = append(found, mode.key+": "+mode.value)
		}
	}
	if host.PublishAllPorts {
		found = append(found, "publish_all: true")
	}
	for port, bindings := range host.PortBindings {
		for _, binding := range bindings {
			if binding.HostIP != loopback {
				found = append(found, fmt.Sprintf("ports: %s on %q", port, binding.HostIP))
			}
		}
	}
	return found
}

func resourceViolations(host *container.HostConfig) []string {
	var found []string
	add := func(violated bool, format string, args ...any) {
		if violated {
			found = append(found, fmt.Sprintf(format, args...))
		}
	}
	add(len(host.Devices) > 0, "devices: %d", len(host.Devices))
	add(len(host.DeviceCgroupRules) > 0, "device_cgroup_rules: %v", host.DeviceCgroupRules)
	add(len(host.Sysctls) > 0, "sysctls: %v", host.Sysctls)
	add(host.Memory <= 0, "memory: unlimited")
	// if the kernel cannot limit swap, the engine records -1 and warns
	add(host.MemorySwap != host.Memory && host.MemorySwap != -1, "memory_swap: %d", host.MemorySwap)
	add(host.NanoCPUs <= 0, "cpus: unlimited")
	add(host.PidsLimit == nil || *host.PidsLimit <= 0, "pids: unlimited")
	add(host.OomKillDisable != nil && *host.OomKillDisable, "oom_kill_disable: true")
	return found
}

func mountViolations(response container.InspectResponse) []string {
	var found []string
	host := response.HostConfig
	if len(host.Binds) > 0 || len(host.VolumesFrom) > 0 {
		found = append(found, fmt.Sprintf("volumes: %v %v", host.Binds, host.VolumesFrom))
	}
	for path, options := range host.Tmpfs {
		if !strings.HasPrefix(options, tmpfsOptions+",") || !strings.Contains(options, "size=") {
			found = append(found, "tmpfs: "+path+" "+options)
		}
	}
	for _, m := range response.Mounts {
		allowed := m.Destination == ModelsPath || strings.HasPrefix(m.Destination, SecretsPath+"/")
		switch {
		case m.Type == mount.TypeTmpfs:
		case m.Type != mount.TypeBind || m.RW || !allowed:
			found = append(found, fmt.Sprintf("mounts: %s %s, writable: %t", m.Type, m.Destination, m.RW))
		case m.Propagation != mount.PropagationRPrivate:
			found = append(found, fmt.Sprintf("mounts: %s, propagation %s", m.Destination, m.Propagation))
		case forbiddenSource(m.Source) != "":
			found = append(found, "mounts: "+forbiddenSource(m.Source))
		}
	}
	return found
}
