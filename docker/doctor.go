package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check is the result of checking one requirement of containers: what was found and, if not OK, what to do.
type Check struct {
	Name   string
	OK     bool
	Found  string
	Advice string // empty when OK, or if Found says it
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, OK: true, Found: fmt.Sprintf(format, args...)}
}

func bad(name, advice, format string, args ...any) Check {
	return Check{Name: name, Found: fmt.Sprintf(format, args...), Advice: advice}
}

// Doctor checks everything that a container of a specification needs, except the GPUs themselves. driver is the version of the
// running NVIDIA driver, empty if unknown. What cannot be checked is not OK.
func Doctor(ctx context.Context, host string, s Spec, driver string, options ...Option) []Check {
	checks := []Check{checkSpec(s), checkPort(s.HostPort)}
	if s.ModelsDir != "" {
		checks = append(checks, checkModels(s.ModelsDir, s.UID, s.GID))
	}
	for name, path := range s.SecretFiles {
		checks = append(checks, checkSecret(name, path, s.UID, s.GID))
	}
	c, err := Open(ctx, host, options...)
	if err != nil {
		return append(checks, checkEngine(Info{}, err))
	}
	defer c.Close()
	info, err := c.Info(ctx)
	checks = append(checks, checkEngine(info, err))
	if err != nil {
		return checks
	}
	image, err := c.ImageInfo(ctx, s.Image)
	checks = append(checks, checkImage(s.Image, image, err), checkHardening(info), checkRootless(info))
	if len(s.GPU.UUIDs) > 0 {
		checks = append(checks, s.gpuChecks(ctx, info, driver)...)
	}
	return checks
}

func (s Spec) gpuChecks(ctx context.Context, info Info, driver string) []Check {
	used, err := s.GPU.driver(info)
	if err != nil {
		return []Check{bad("GPU driver of the Docker engine", "", "%v", err)}
	}
	checks := []Check{checkCgroups(info, used == driverCDI, deviceLinks("/dev"))}
	if used == driverCDI {
		checks = append(checks, checkCDI(info, s.GPU.UUIDs, driver))
	}
	version, err := installedToolkit(ctx)
	return append(checks, checkToolkit(version, err))
}

// checkSpec validates a specification, including where its paths lead.
func checkSpec(s Spec) Check {
	const name = "container specification"
	if err := s.validateOnHost(); err != nil {
		return bad(name, "", "%v", err)
	}
	return ok(name, "valid, and weakens no hardening")
}

// checkEngine checks the result of Open or Info.
func checkEngine(info Info, err error) Check {
	const name = "Docker engine"
	if err == nil {
		return ok(name, "%s, API version %s", info.ServerVersion, info.APIVersion)
	}
	for _, known := range []struct {
		err    error
		advice string
	}{
		{ErrDenied, "add the user to the group docker, which makes it root on this host, or use a rootless Docker engine or a socket proxy"},
		{ErrUnreachable, "start it (systemctl start docker), or set DOCKER_HOST to where it listens"},
		{ErrTimeout, "it hangs: see journalctl -u docker, and restart it"},
		{ErrUnsupported, "install a Docker engine with an API version from " + minAPIVersion + " to " + maxAPIVersion + ", such as 20.10 to 29"},
	} {
		if errors.Is(err, known.err) {
			return bad(name, known.advice, "%v", err)
		}
	}
	return bad(name, "see journalctl -u docker", "%v", err)
}

// checkImage checks the result of ImageInfo.
func checkImage(ref string, image Image, err error) Check {
	const name = "image"
	if errors.Is(err, ErrNoImage) {
		return bad(name, "docker pull "+ref+", or build it", "%s is not on this machine", ref)
	}
	if err != nil {
		return bad(name, "see the check \"Docker engine\"", "%v", err)
	}
	if err := image.Check(); err != nil {
		return bad(name, "use Fovea's image, or fix the image", "%v", err)
	}
	cuda := "for the CPU"
	if version := image.Labels[LabelCUDA]; version != "" {
		cuda = "for CUDA " + version + ", driver " + cmp.Or(image.Labels[LabelMinDriver], "unknown") + " or newer"
	}
	return ok(name, "%s, version %s, %s", ref, cmp.Or(image.Labels[LabelVersion], "unknown"), cuda)
}

// checkHardening checks that the engine can enforce the hardening.
func checkHardening(info Info) Check {
	const name = "seccomp and limits"
	if err := info.check(); err != nil {
		return bad(name, "containers are rejected until this is fixed", "%v", err)
	}
	swap := "swap limited"
	if !info.SwapLimit {
		swap = "swap not limited (boot with swapaccount=1)"
	}
	return ok(name, "seccomp %s, memory, pids and CPU limited, %s", info.Seccomp, swap)
}

// checkRootless reports what a rootless engine, or one with user namespaces, requires.
func checkRootless(info Info) Check {
	const name = "user of the Docker engine"
	switch {
	case info.Rootless && info.CgroupVersion != "2":
		return bad(name, "boot with systemd.unified_cgroup_hierarchy=1", "rootless with cgroup version %s, which does not support limits", cmp.Or(info.CgroupVersion, "unknown"))
	case info.Rootless:
		return ok(name, "rootless; models and secrets must be readable by the users of /etc/subuid, i.e. by all; "+
			"the NVIDIA driver requires CDI, or no-cgroups = true in /etc/nvidia-container-runtime/config.toml")
	case info.UserNamespaces:
		return ok(name, "root, with container users mapped by /etc/subuid; models and secrets must be readable by all")
	}
	return ok(name, "root: access to its socket is root access to this host")
}

// checkCDI checks that CDI specifications list all the GPUs and match the running driver (empty: unknown).
func checkCDI(info Info, uuids []string, driver string) Check {
	const name = "CDI specification"
	if len(info.CDIDirs) == 0 {
		return bad(name, `set "features": {"cdi": true} in the Docker engine's daemon.json`, "CDI is not enabled")
	}
	specs, err := readCDI(info.CDIDirs)
	if err != nil {
		return bad(name, cdiGenerate, "%v", err)
	}
	known := append(specs.names(), info.CDIDevices...)
	for _, uuid := range uuids {
		if !slices.Contains(known, cdiName(uuid)) {
			return bad(name, cdiGenerate, "no specification in %s lists %s", strings.Join(info.CDIDirs, ", "), cdiName(uuid))
		}
	}
	for _, spec := range specs {
		if why := spec.stale(driver); why != "" {
			return bad(name, cdiGenerate, "%s is stale: %s", spec.path, why)
		}
	}
	return ok(name, "lists all %d GPUs and matches the driver", len(uuids))
}

// checkCgroups detects a setup in which `systemctl daemon-reload` takes GPUs away from running containers: systemd rewrites the
// device rules, and only knows devices passed to it that it finds under /dev/char.
// https://github.com/NVIDIA/nvidia-docker/issues/1730
func checkCgroups(info Info, cdi, links bool) Check {
	const name = "GPUs after systemctl daemon-reload"
	if info.CgroupDriver != "systemd" || cdi || links {
		return ok(name, "kept (cgroup driver %s, CDI: %t, links in /dev/char: %t)", cmp.Or(info.CgroupDriver, "unknown"), cdi, links)
	}
	return bad(name, `use CDI; or "exec-opts": ["native.cgroupdriver=cgroupfs"] in the Docker engine's daemon.json; or `+
		"nvidia-ctk system create-dev-char-symlinks --create-all at each boot", "lost: cgroup driver systemd, no CDI, no links in /dev/char")
}
