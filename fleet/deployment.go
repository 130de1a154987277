package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"fovea/docker"
)

// Deployment is what replicas are made of at one time. A roll-out goes from one to the next.
type Deployment struct {
	Generation int         `json:"generation"` // counts deployments
	Image      string      `json:"image"`      // as the configuration names it
	Version    string      `json:"version"`    // of the server, as the image's label says
	Spec       docker.Spec `json:"spec"`       // with the image's ID, which stays when the name points elsewhere
}

// fingerprint is the same for deployments that make the same replicas.
func (d Deployment) fingerprint() string { return d.Spec.Hash() }

// deviceVariable names the server's device. A replica that was given a GPU must not answer from the CPU in silence.
const deviceVariable = "FOVEA_INFERENCE_DEVICE"

// shareVariable names the part of the server that one client address may hold. To a replica all clients have the gateway's,
// which keeps the shares itself. An empty value leaves it out, for an image that does not know it.
const shareVariable = "FOVEA_HTTP_CLIENT_SHARE"

// NewDeployment makes the deployment that a configuration asks for, of an image that was found.
func NewDeployment(c Config, image docker.Image) (Deployment, error) {
	uid, gid, err := parseUser(c.User)
	if err != nil {
		return Deployment{}, fmt.Errorf("user: %w", err)
	}
	s := docker.Defaults()
	s.Image, s.Args, s.SecretFiles, s.ModelsDir = image.ID, c.Args, c.Secrets, c.Models
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if name != shareVariable || c.Env[name] != "" {
			s.Env = append(s.Env, name+"="+c.Env[name])
		}
	}
	if _, gpuTarget := c.Env[shareVariable]; !gpuTarget {
		s.Env = append(s.Env, shareVariable+"=1")
	}
	if _, gpuTarget := c.Env[deviceVariable]; !gpuTarget && !c.GPUs.None() {
		s.Env = append(s.Env, deviceVariable+"=cuda")
	}
	s.UID, s.GID, s.Network, s.StopGrace = uid, gid, c.network(), c.Stop
	s.Memory, s.CPUs, s.Pids, s.NoFile = int64(c.Limits.Memory), c.Limits.CPUs, c.Limits.Pids, c.Limits.NoFile
	s.TmpfsSize, s.ShmSize = int64(c.Limits.Tmpfs), int64(c.Limits.Shm)
	s.LogMaxSize, s.LogMaxFiles = int64(c.Limits.LogSize), c.Limits.Logs
	if c.GPU.Driver != "auto" {
		s.GPU.Driver = c.GPU.Driver
	}
	return Deployment{Image: c.Image, Version: image.Labels[docker.LabelVersion], Spec: s}, nil
}

func (c Config) network() string {
	if c.Network == "" {
		return c.Name
	}
	return c.Network
}

// Place is where a replica runs.
type Placement struct {
	Name   string `json:"name"`   // such as gpu0-0 or cpu-1
	Device string `json:"device"` // UUID of the GPU or MIG instance; empty on the CPU
	GPU    string `json:"gpu"`    // UUID of the GPU; that of the instance's GPU with MIG
}

// spec is the container of a deployment's replica at a place.
func (d Deployment) spec(fleet string, p Placement) docker.Spec {
	s := d.Spec
	s.Name = containerName(fleet, p.Name, d.Generation)
	s.Labels = map[string]string{
		docker.LabelOwner: fleet, docker.LabelReplica: p.Name, docker.LabelGeneration: strconv.Itoa(d.Generation),
	}
	if p.Device != "" {
		s.GPU.UUIDs = []string{p.Device}
	}
	return s
}

// hash is what the container of a deployment's replica at a place bears in its label.
func (d Deployment) hash(fleet string, p Placement) string { return d.spec(fleet, p).Hash() }

// containerName is unique for a place and a generation, so that the engine itself refuses a second one.
func containerName(fleet, place string, generation int) string {
	return fleet + "-" + replicaID(place, generation)
}

// replicaID names a replica to people and to the gateway.
func replicaID(place string, generation int) string { return fmt.Sprintf("%s.%d", place, generation) }
