package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"fovea/docker"
	"fovea/internal/config"
)

// Deployment is what replicas of one generation are made from.
type Deployment struct {
	Generation int         `json:"generation"` // number of the deployment
	Image      string      `json:"image"`      // as configured
	Version    string      `json:"version"`    // of the server, from the image's label
	Spec       docker.Spec `json:"spec"`       // with the image's ID, so that it stays the same when the tag moves
}

// deviceVariable selects the server's device: a replica with a GPU must not fall back to the CPU silently.
const deviceVariable = "FOVEA_INFERENCE_DEVICE"

// shareVariable limits the share of the server that one client address may use. A replica sees only the gateway's
// address, and the gateway enforces its own limit. An empty value omits the variable, for images that do not know it.
const shareVariable = "FOVEA_HTTP_CLIENT_SHARE"

// NewDeployment returns the deployment for a configuration and its image.
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
	if _, set := c.Env[shareVariable]; !set {
		s.Env = append(s.Env, shareVariable+"=1")
	}
	if _, set := c.Env[deviceVariable]; !set && !c.GPUs.None() {
		s.Env = append(s.Env, deviceVariable+"=cuda")
	}
	if c.Gateway.GRPC.Address != "" {
		s.GRPC = true
		s.Env = append(s.Env, fmt.Sprintf("%s=0.0.0.0:%d", config.Variable(grpcKey), docker.GRPCPort))
	}
	s.UID, s.GID, s.Network, s.StopGrace = uid, gid, c.network(), c.StopTimeout
	s.Memory, s.CPUs, s.Pids, s.NoFile = int64(c.Limits.Memory), c.Limits.CPUs, c.Limits.Pids, c.Limits.NoFile
	s.TmpfsSize, s.ShmSize = int64(c.Limits.Tmpfs), int64(c.Limits.Shm)
	s.LogMaxSize, s.LogMaxFiles = int64(c.Limits.LogSize), c.Limits.Logs
	if c.GPU.Driver != "auto" {
		s.GPU.Driver = c.GPU.Driver
	}
	return Deployment{Image: c.Image, Version: image.Labels[docker.LabelVersion], Spec: s}, nil
}

func (c Config) network() string {
	return cmp.Or(c.Network, c.Name)
}

// spec returns the container specification of a replica.
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

// hash returns the value of the hash label of a replica's container.
func (d Deployment) hash(fleet string, p Placement) string { return d.spec(fleet, p).Hash() }

// containerName is unique for a placement and a generation, so that the Docker engine refuses duplicates.
func containerName(fleet, placement string, generation int) string {
	return fleet + "-" + replicaID(placement, generation)
}

// replicaID is a replica's name in status and in the gateway.
func replicaID(placement string, generation int) string {
	return fmt.Sprintf("%s.%d", placement, generation)
}
