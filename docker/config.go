package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
)

const (
	loopback        = "127.0.0.1"
	noNewPrivileges = "no-new-privileges:true"
	allCapabilities = "ALL"
	tmpfsOptions    = "rw,noexec,nosuid,nodev"
)

// config is what of a container has nothing to do with this host.
func (s Spec) config(imageID string, requests []container.DeviceRequest) *container.Config {
	grace := wholeSeconds(s.StopGrace)
	// Where NVIDIA's runtime is the engine's default, an image's own variable would bring other GPUs in.
	env := append(slices.Clone(s.Env), "NVIDIA_VISIBLE_DEVICES="+visible(requests))
	return &container.Config{
		Image: imageID, Cmd: s.Args, Env: env,
		User:         fmt.Sprintf("%d:%d", s.UID, s.GID),
		ExposedPorts: nat.PortSet{s.port(): {}},
		Labels:       s.labels(),
		StopSignal:   "SIGTERM", StopTimeout: &grace,
		// Who runs the fleet probes over HTTP; the engine's probe would start a process in each container besides.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
}

// visible is what NVIDIA's hook and runtime may bring in: with CDI or without GPUs, nothing.
func visible(requests []container.DeviceRequest) string {
	for _, request := range requests {
		if request.Driver == driverNVIDIA {
			return strings.Join(request.DeviceIDs, ",")
		}
	}
	return "void"
}

func (s Spec) labels() map[string]string {
	labels := maps.Clone(s.Labels)
	labels[LabelHash] = s.Hash()
	labels[LabelGPU] = strings.Join(s.GPU.UUIDs, ",")
	labels[LabelImage] = s.Image
	return labels
}

func (s Spec) port() nat.Port { return nat.Port(strconv.Itoa(s.ContainerPort) + "/tcp") }

// hostConfig is all that closes a container. What it leaves out is the engine's default, which weaknesses checks.
func (s Spec) hostConfig(requests []container.DeviceRequest) *container.HostConfig {
	hostPort := "" // The engine chooses.
	if s.HostPort != 0 {
		hostPort = strconv.Itoa(s.HostPort)
	}
	return &container.HostConfig{
		ReadonlyRootfs: true,
		CapDrop:        []string{allCapabilities},
		SecurityOpt:    []string{noNewPrivileges},
		IpcMode:        container.IPCModePrivate,
		NetworkMode:    container.NetworkMode(s.Network),
		PortBindings:   nat.PortMap{s.port(): {{HostIP: loopback, HostPort: hostPort}}},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig: container.LogConfig{Type: s.LogDriver, Config: map[string]string{
			"max-size": strconv.FormatInt(s.LogMaxSize, 10), "max-file": strconv.Itoa(s.LogMaxFiles),
		}},
		// Its user's own: the mode alone would not do, since runc 1.1 takes the image's instead.
		Tmpfs:     map[string]string{TmpPath: fmt.Sprintf("%s,mode=0700,uid=%d,gid=%d,size=%d", tmpfsOptions, s.UID, s.GID, s.TmpfsSize)},
		ShmSize:   s.ShmSize,
		Mounts:    s.mounts(),
		Init:      &s.Init,
		Resources: s.resources(requests),
	}
}

func (s Spec) resources(requests []container.DeviceRequest) container.Resources {
	return container.Resources{
		Memory: s.Memory, MemorySwap: s.Memory, // The same: no swap.
		NanoCPUs:  s.nanoCPUs(),
		PidsLimit: &s.Pids,
		Ulimits: []*container.Ulimit{
			{Name: "nofile", Soft: s.NoFile, Hard: s.NoFile},
			{Name: "core", Soft: 0, Hard: 0}, // A core file would hold users' images.
		},
		DeviceRequests: requests,
	}
}

func (s Spec) mounts() []mount.Mount {
	var mounts []mount.Mount
	if s.ModelsDir != "" {
		mounts = append(mounts, readOnly(s.ModelsDir, ModelsPath))
	}
	for _, name := range slices.Sorted(maps.Keys(s.SecretFiles)) {
		mounts = append(mounts, readOnly(s.SecretFiles[name], SecretsPath+"/"+name))
	}
	return mounts
}

// readOnly binds a path that must exist; what the host mounts below it later does not show up inside.
func readOnly(source, target string) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}
