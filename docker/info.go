package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"
)

// Info is what an engine says of itself and its host.
type Info struct {
	ID                        string // of the engine, on this machine and no other
	APIVersion, ServerVersion string

	CDIDirs    []string // where it looks for CDI specifications; none: it does no CDI
	CDIDevices []string // CDI devices that it knows, as nvidia.com/gpu=GPU-…; only engines from 28.3 on tell

	Runtimes       []string
	DefaultRuntime string
	CgroupDriver   string // systemd, cgroupfs or none
	CgroupVersion  string // 1 or 2
	Rootless       bool
	UserNamespaces bool   // users of containers are other users of the host
	Seccomp        string // the profile of containers: builtin, default, a path or unconfined; empty: none
	LiveRestore    bool   // containers outlive the engine

	// Which limits the kernel keeps.
	MemoryLimit, SwapLimit, PidsLimit, CPUQuota bool

	CPUs   int
	Memory int64 // bytes
}

// Info asks the engine about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	answer, err := call(ctx, c.timeouts.Call, "ask about the engine", c.api.Info)
	if err != nil {
		return Info{}, err
	}
	return info(answer, c.APIVersion()), nil
}

func info(answer system.Info, apiVersion string) Info {
	i := Info{
		ID: answer.ID, APIVersion: apiVersion, ServerVersion: answer.ServerVersion,
		Runtimes: slices.Sorted(maps.Keys(answer.Runtimes)), DefaultRuntime: answer.DefaultRuntime,
		CgroupDriver: answer.CgroupDriver, CgroupVersion: answer.CgroupVersion, LiveRestore: answer.LiveRestoreEnabled,
		MemoryLimit: answer.MemoryLimit, SwapLimit: answer.SwapLimit, PidsLimit: answer.PidsLimit, CPUQuota: answer.CPUCfsQuota,
		CPUs: answer.NCPU, Memory: answer.MemTotal,
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

// check refuses an engine on which a container would be less closed than it looks.
func (i Info) check() error {
	var errs []error
	if i.Seccomp == "" || i.Seccomp == "unconfined" {
		errs = append(errs, fmt.Errorf("seccomp: %w: the engine filters no system calls: remove seccomp-profile from its daemon.json", ErrUnsafe))
	}
	for _, limit := range []struct {
		kept bool
		name string
	}{{i.MemoryLimit, "memory"}, {i.PidsLimit, "pids"}, {i.CPUQuota, "cpus"}} {
		if !limit.kept {
			errs = append(errs, fmt.Errorf("%s: %w: the engine cannot limit it here: delegate the cgroup controllers to it "+
				"(rootless), or boot with cgroup_enable=%[1]s", limit.name, ErrUnsafe))
		}
	}
	return errors.Join(errs...)
}
