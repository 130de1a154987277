package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// The labels of a container. Owner, replica and generation are the caller's to give; the others are set by Create.
const (
	LabelOwner      = "fovea.owner"      // whose it is; required
	LabelReplica    = "fovea.replica"    // which replica; required
	LabelGeneration = "fovea.generation" // counts a caller's roll-outs
	LabelGPU        = "fovea.gpu"        // the UUIDs, separated by commas; empty on the CPU
	LabelHash       = "fovea.spec"       // Spec.Hash
	LabelImage      = "fovea.image"      // the image as the specification named it
)

// Where things are in the container.
const (
	ModelsPath  = "/models"
	SecretsPath = "/run/secrets"
	TmpPath     = "/tmp"
)

// Spec is a container. What it does not offer cannot be had: every container has a read-only root, no capabilities, no
// new privileges, the engine's seccomp profile, no devices but its GPUs, and no restart policy.
type Spec struct {
	Name  string   // the container's
	Image string   // name, name@digest or ID; it must be on the machine
	Args  []string // after the image's entry point
	Env   []string // NAME=value; never secrets, nor what changes the loader or the choice of GPUs

	// SecretFiles are files of the host, read-only at /run/secrets/NAME. The user of the container must be able to read
	// them. The hash covers the paths, not the contents.
	SecretFiles map[string]string
	Labels      map[string]string // with LabelOwner and LabelReplica

	UID, GID int // numeric, never 0
	GPU      GPURequest

	Memory    int64   // bytes, swap included
	CPUs      float64 // cores
	Pids      int64   // processes and threads
	NoFile    int64   // open files
	TmpfsSize int64   // bytes, of /tmp
	ShmSize   int64   // bytes, of /dev/shm

	ModelsDir     string // of the host, read-only at /models; empty: the models of the image
	HostPort      int    // on 127.0.0.1; 0: the engine chooses
	ContainerPort int
	Network       string // a bridge of Fovea's own; see EnsureNetwork

	LogDriver   string // json-file or local
	LogMaxSize  int64  // bytes a file
	LogMaxFiles int

	StopGrace time.Duration // between SIGTERM and SIGKILL, to whole seconds
	Init      bool          // a small init as process 1, for programs that leave children behind
}

// GPURequest asks for GPUs by UUID.
type GPURequest struct {
	UUIDs []string // GPU-… or MIG-…; none: no GPU
	// Driver is nvidia (the container toolkit's hook), cdi (the Container Device Interface), or empty: CDI where the
	// engine knows the GPU by it, else nvidia.
	Driver string
}

// Defaults is what a specification starts from: the limits of a server on the CPU. Name, Image, Labels and Memory are
// still to be filled in.
func Defaults() Spec {
	return Spec{
		UID: 65532, GID: 65532,
		CPUs: 1, Pids: 512, NoFile: 16384, TmpfsSize: 64 << 20, ShmSize: 64 << 20,
		ContainerPort: 8000, Network: "fovea",
		LogDriver: "json-file", LogMaxSize: 10 << 20, LogMaxFiles: 3,
		StopGrace: 30 * time.Second,
	}
}

// hardening counts the changes of what every container is given, so that containers of an older Fovea are replaced.
const hardening = 1

// Hash is the same for two specifications that make the same container, and for no others: labels and the name are who
// a container is, not what it is. The image counts as it is written: only its ID tells that a name has come to mean
// another image.
func (s Spec) Hash() string {
	nanoCPUs := s.nanoCPUs() // JSON knows no NaN.
	s.Name, s.Labels, s.CPUs = "", nil, 0
	// Nil and empty are the same container.
	s.Args, s.Env, s.GPU.UUIDs = filled(s.Args), filled(s.Env), filled(s.GPU.UUIDs)
	if s.SecretFiles == nil {
		s.SecretFiles = map[string]string{}
	}
	data, err := json.Marshal(struct {
		Hardening int
		NanoCPUs  int64
		Spec      Spec
	}{hardening, nanoCPUs, s})
	if err != nil {
		panic("docker: a specification is not JSON: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func (s Spec) nanoCPUs() int64 { return int64(s.CPUs * 1e9) }

func filled(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
