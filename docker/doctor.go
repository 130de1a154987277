package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check is one thing that must hold before containers run: what was found, and what to do where it is not OK.
type Check struct {
	Name   string
	OK     bool
	Found  string
	Advice string // empty when OK
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, OK: true, Found: fmt.Sprintf(format, args...)}
}

func bad(name, advice, format string, args ...any) Check {
	return Check{Name: name, Found: fmt.Sprintf(format, args...), Advice: advice}
}

// Doctor makes all checks that a container of a specification needs, but for those of the GPUs themselves. driver is the
// version of the NVIDIA driver that runs, empty if unknown. It never fails: what cannot be asked is a check not OK.
func Doctor(ctx context.Context, host string, s Spec, driver string, options ...Option) []Check {
	checks := []Check{CheckSpec(s), CheckPort(s.HostPort)}
	if s.ModelsDir != "" {
		checks = append(checks, CheckModels(s.ModelsDir, s.UID, s.GID))
	}
	for name, path := range s.SecretFiles {
		checks = append(checks, CheckSecret(name, path, s.UID, s.GID))
	}
	c, err := Open(ctx, host, options...)
	if err != nil {
		return append(checks, CheckEngine(Info{}, err))
	}
	defer c.Close()
	info, err := c.Info(ctx)
	checks = append(checks, CheckEngine(info, err))
	if err != nil {
		return checks
	}
	image, err := c.ImageInfo(ctx, s.Image)
	checks = append(checks, CheckImage(s.Image, image, err), CheckHardening(info), CheckRootless(info))
	if len(s.GPU.UUIDs) > 0 {
		checks = append(checks, s.gpuChecks(ctx, info, driver)...)
	}
	return checks
}

func (s Spec) gpuChecks(ctx context.Context, info Info, driver string) []Check {
	used, err := s.GPU.driver(info)
	if err != nil {
		return []Check{bad("GPU driver of the engine", "use another gpu.driver, or do what the message says", "%v", err)}
	}
	checks := []Check{CheckCgroups(info, used == driverCDI, deviceLinks("/dev"))}
	if used == driverCDI {
		checks = append(checks, CheckCDI(info, s.GPU.UUIDs, driver))
	}
	version, err := ToolkitVersion(ctx)
	return append(checks, CheckToolkit(version, err))
}

// CheckSpec is Validate, and where the paths lead.
func CheckSpec(s Spec) Check {
	const name = "container's specification"
	err := s.Validate()
	if err == nil {
		err = s.checkSources()
	}
	if err != nil {
		return bad(name, "mend each of these", "%v", err)
	}
	return ok(name, "nothing in it weakens the container")
}

// CheckEngine judges what Open or Info returned.
func CheckEngine(info Info, err error) Check {
	const name = "Docker engine"
	switch {
	case err == nil:
		return ok(name, "%s, API version %s", info.ServerVersion, info.APIVersion)
	case errors.Is(err, ErrDenied):
		return bad(name, "add the user to the group docker, which makes it root on this host, or use a rootless engine or a socket proxy", "%v", err)
	case errors.Is(err, ErrUnreachable):
		return bad(name, "start it (systemctl start docker), or set DOCKER_HOST to where it listens", "%v", err)
	case errors.Is(err, ErrTimeout):
		return bad(name, "it hangs: look at journalctl -u docker, and restart it", "%v", err)
	case errors.Is(err, ErrUnsupported):
		return bad(name, "install a Docker engine that speaks an API version from "+MinAPIVersion+" to "+MaxAPIVersion+", as 20.10 to 29 do", "%v", err)
	}
	return bad(name, "look at journalctl -u docker", "%v", err)
}

// CheckImage judges what ImageInfo returned.
func CheckImage(ref string, image Image, err error) Check {
	const name = "image"
	if errors.Is(err, ErrNoImage) {
		return bad(name, "docker pull "+ref+", or build it", "%s is not on this machine", ref)
	}
	if err != nil {
		return bad(name, "see the check of the engine", "%v", err)
	}
	if err := image.Check(); err != nil {
		return bad(name, "use Fovea's own image, or build one without this", "%v", err)
	}
	cuda := "for the CPU"
	if version := image.Labels[LabelCUDA]; version != "" {
		cuda = "for CUDA " + version + ", driver " + or(image.Labels[LabelMinDriver], "unknown") + " or newer"
	}
	return ok(name, "%s, version %s, %s", ref, or(image.Labels[LabelVersion], "unknown"), cuda)
}

// CheckHardening tells whether the engine keeps what containers are promised.
func CheckHardening(info Info) Check {
	const name = "seccomp and limits"
	if err := info.check(); err != nil {
		return bad(name, "containers are refused until this is mended", "%v", err)
	}
	swap := "swap counted"
	if !info.SwapLimit {
		swap = "swap not counted (boot with swapaccount=1)"
	}
	return ok(name, "seccomp %s, memory, pids and CPU limited, %s", info.Seccomp, swap)
}

// CheckRootless tells what else a rootless engine, or one with user namespaces, asks for.
func CheckRootless(info Info) Check {
	const name = "engine's user"
	switch {
	case info.Rootless && info.CgroupVersion != "2":
		return bad(name, "boot with systemd.unified_cgroup_hierarchy=1", "rootless on cgroup version %s, which cannot limit", or(info.CgroupVersion, "unknown"))
	case info.Rootless:
		return ok(name, "rootless; models and secrets must be readable by the users of /etc/subuid, so by all; "+
			"the NVIDIA driver needs CDI, or no-cgroups = true in /etc/nvidia-container-runtime/config.toml")
	case info.UserNamespaces:
		return ok(name, "root, with users of containers shifted by /etc/subuid; models and secrets must be readable by all")
	}
	return ok(name, "root: whoever reaches its socket is root on this host")
}

// CheckCDI tells whether CDI specifications name all the GPUs and fit the driver that runs (empty: unknown).
func CheckCDI(info Info, uuids []string, driver string) Check {
	const name = "CDI specification"
	if len(info.CDIDirs) == 0 {
		return bad(name, `set "features": {"cdi": true} in the engine's daemon.json`, "CDI is not enabled")
	}
	specs, err := readCDI(info.CDIDirs)
	if err != nil {
		return bad(name, cdiGenerate, "%v", err)
	}
	known := append(specs.names(), info.CDIDevices...)
	for _, uuid := range uuids {
		if !slices.Contains(known, cdiName(uuid)) {
			return bad(name, cdiGenerate, "nothing in %s names %s", strings.Join(info.CDIDirs, ", "), cdiName(uuid))
		}
	}
	for _, spec := range specs {
		if why := spec.stale(driver); why != "" {
			return bad(name, cdiGenerate, "%s no longer fits: %s", spec.path, why)
		}
	}
	return ok(name, "names all %d GPUs, and fits the driver", len(uuids))
}

// CheckCgroups finds the set-up in which `systemctl daemon-reload` takes GPUs away from running containers: systemd
// writes the rules for devices anew, and knows only those that it was told of and can find under /dev/char.
// https://github.com/NVIDIA/nvidia-docker/issues/1730
func CheckCgroups(info Info, cdi, links bool) Check {
	const name = "GPUs after systemctl daemon-reload"
	if info.CgroupDriver != "systemd" || cdi || links {
		return ok(name, "kept (cgroup driver %s, CDI: %t, links in /dev/char: %t)", or(info.CgroupDriver, "unknown"), cdi, links)
	}
	return bad(name, `use CDI; or "exec-opts": ["native.cgroupdriver=cgroupfs"] in the engine's daemon.json; or `+
		"nvidia-ctk system create-dev-char-symlinks --create-all at each boot", "lost: cgroup driver systemd, no CDI, no links in /dev/char")
}
