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

// config is the host-independent part of the container's configuration.
func (s Spec) config(imageID string, requests []container.DeviceRequest) *container.Config {
	grace := wholeSeconds(s.StopGrace)
	labels := maps.Clone(s.Labels)
	labels[LabelHash], labels[LabelGPU], labels[LabelImage] = s.Hash(), strings.Join(s.GPU.UUIDs, ","), s.Image
	// If NVIDIA's runtime is the engine's default, the image's own variable would add other GPUs.
	env := append(slices.Clone(s.Env), "NVIDIA_VISIBLE_DEVICES="+nvidiaVisibleDevices(requests))
	return &container.Config{
		Image: imageID, Cmd: s.Args, Env: env,
		User:         fmt.Sprintf("%d:%d", s.UID, s.GID),
		ExposedPorts: s.exposed(),
		Labels:       labels,
		StopSignal:   "SIGTERM", StopTimeout: &grace,
		// The supervisor probes over HTTP; the engine's health check would start processes in the container.
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
	}
}

// nvidiaVisibleDevices restricts NVIDIA's hook and runtime to the requested GPUs; with CDI or without GPUs, to none.
func nvidiaVisibleDevices(requests []container.DeviceRequest) string {
	for _, request := range requests {
		if request.Driver == driverNVIDIA {
			return strings.Join(request.DeviceIDs, ",")
		}
	}
	return "void"
}

func (s Spec) port() nat.Port { return nat.Port(strconv.Itoa(s.ContainerPort) + "/tcp") }

// grpcPort is GRPCPort as the engine has it.
var grpcPort = nat.Port(strconv.Itoa(GRPCPort) + "/tcp")

// exposed lists the ports in the container.
func (s Spec) exposed() nat.PortSet {
	ports := nat.PortSet{s.port(): {}}
	if s.GRPC {
		ports[grpcPort] = struct{}{}
	}
	return ports
}

// published maps the ports in the container to those of the host.
func (s Spec) published() nat.PortMap {
	hostPort := "" // chosen by the engine
	if s.HostPort != 0 {
		hostPort = strconv.Itoa(s.HostPort)
	}
	ports := nat.PortMap{s.port(): {{HostIP: loopback, HostPort: hostPort}}}
	if s.GRPC {
		ports[grpcPort] = []nat.PortBinding{{HostIP: loopback}}
	}
	return ports
}

// hostConfig holds the hardening. What it leaves to the engine's defaults, violations checks.
func (s Spec) hostConfig(requests []container.DeviceRequest) *container.HostConfig {
	return &container.HostConfig{
		ReadonlyRootfs: true,
		CapDrop:        []string{allCapabilities},
		SecurityOpt:    []string{noNewPrivileges},
		IpcMode:        container.IPCModePrivate,
		NetworkMode:    container.NetworkMode(s.Network),
		PortBindings:   s.published(),
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		LogConfig: container.LogConfig{Type: s.LogDriver, Config: map[string]string{
			"max-size": strconv.FormatInt(s.LogMaxSize, 10), "max-file": strconv.Itoa(s.LogMaxFiles),
		}},
		// Owned by the container's user: runc 1.1 ignores the mode in favor of the image's.
		Tmpfs:   map[string]string{TmpPath: fmt.Sprintf("%s,mode=0700,uid=%d,gid=%d,size=%d", tmpfsOptions, s.UID, s.GID, s.TmpfsSize)},
		ShmSize: s.ShmSize,
		Mounts:  s.mounts(),
		Init:    &s.Init,
		Resources: container.Resources{
			Memory: s.Memory, MemorySwap: s.Memory, // equal: no swap
			NanoCPUs:  s.nanoCPUs(),
			PidsLimit: &s.Pids,
			Ulimits: []*container.Ulimit{
				{Name: "nofile", Soft: s.NoFile, Hard: s.NoFile},
				{Name: "core", Soft: 0, Hard: 0}, // core files would contain users' images
			},
			DeviceRequests: requests,
		},
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

// readOnly binds a path that must exist. Later mounts of the host below it do not propagate into the container.
func readOnly(source, target string) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}
