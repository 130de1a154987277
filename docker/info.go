package docker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
)

// Info describes an engine and its host.
type Info struct {
	ID                        string // unique to the engine
	APIVersion, ServerVersion string

	CDIDirs    []string // folders of CDI specifications; none: CDI is not enabled
	CDIDevices []string // known CDI devices, such as nvidia.com/gpu=GPU-…; reported by engines from 28.3 on

	CgroupDriver   string // systemd, cgroupfs or none
	CgroupVersion  string // 1 or 2
	Rootless       bool
	UserNamespaces bool   // users of containers are mapped to other users of the host
	Seccomp        string // default profile: builtin, default, a path or unconfined; empty: none

	// limits that the kernel supports
	MemoryLimit, SwapLimit, PidsLimit, CPUQuota bool
}

// Info returns information about the engine.
func (c *Client) Info(ctx context.Context) (Info, error) {
	answer, err := call(ctx, c.timeouts.Call, "Docker engine info", c.api.Info)
	if err != nil {
		return Info{}, err
	}
	return info(answer, c.APIVersion()), nil
}

func info(answer system.Info, apiVersion string) Info {
	i := Info{
		ID: answer.ID, APIVersion: apiVersion, ServerVersion: answer.ServerVersion,
		CgroupDriver: answer.CgroupDriver, CgroupVersion: answer.CgroupVersion,
		MemoryLimit: answer.MemoryLimit, SwapLimit: answer.SwapLimit, PidsLimit: answer.PidsLimit, CPUQuota: answer.CPUCfsQuota,
	}
	if versions.GreaterThanOrEqualTo(apiVersion, cdiAPIVersion) {
		i.CDIDirs = answer.CDISpecDirs
	}
	for _, device := range answer.DiscoveredDevices {
		if device.Source == driverCDI {
			i.CDIDevices = append(i.CDIDevices, device.ID)
		}
	}
	for _, option := range answer.SecurityOptions {
		fields := strings.Split(option, ",")
		switch fields[0] {
		case "name=rootless":
			i.Rootless = true
		case "name=userns":
			i.UserNamespaces = true
		case "name=seccomp":
			i.Seccomp = "default"
			for _, field := range fields[1:] {
				if profile, ok := strings.CutPrefix(field, "profile="); ok {
					i.Seccomp = profile
				}
			}
		}
	}
	return i
}

// check returns ErrUnsafe for an engine that cannot enforce the hardening.
func (i Info) check() error {
	var errs []error
	if i.Seccomp == "" || i.Seccomp == "unconfined" {
		errs = append(errs, fmt.Errorf("seccomp: %w: the Docker engine does not filter system calls: remove seccomp-profile from its daemon.json", ErrUnsafe))
	}
	for _, limit := range []struct {
		supported bool
		name      string
	}{{i.MemoryLimit, "memory"}, {i.PidsLimit, "pids"}, {i.CPUQuota, "cpus"}} {
		if !limit.supported {
			errs = append(errs, fmt.Errorf("%s: %w: the Docker engine cannot limit it: delegate the cgroup controllers to it "+
				"(rootless), or boot with cgroup_enable=%[1]s", limit.name, ErrUnsafe))
		}
	}
	return errors.Join(errs...)
}
