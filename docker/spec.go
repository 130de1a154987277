package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// The labels of a container. The caller sets owner, replica and generation; Create sets the others.
const (
	LabelOwner      = "fovea.owner"      // the fleet that owns it; required
	LabelReplica    = "fovea.replica"    // the replica's name; required
	LabelGeneration = "fovea.generation" // number of the caller's generation
	LabelGPU        = "fovea.gpu"        // UUIDs, separated by commas; empty on the CPU
	LabelHash       = "fovea.spec"       // Spec.Hash
	LabelImage      = "fovea.image"      // the image as named in the specification
)

// GRPCPort is the port for gRPC in a container that has one.
const GRPCPort = 8001

// Paths in the container.
const (
	ModelsPath  = "/models"
	SecretsPath = "/run/secrets"
	TmpPath     = "/tmp"
)

// Spec specifies a container. What has no field cannot be changed: every container has a read-only root, no capabilities, no new
// privileges, the engine's seccomp profile, no devices but its GPUs, and no restart policy.
type Spec struct {
	Name  string   // of the container
	Image string   // name, name@digest or ID; must exist on the machine
	Args  []string // of the image's entry point
	Env   []string // NAME=value; no secrets, loader variables or GPU selection

	// SecretFiles are files of the host by name, mounted read-only at /run/secrets/NAME and readable by the container's user.
	// The hash covers their paths, not their contents.
	SecretFiles map[string]string
	Labels      map[string]string // including LabelOwner and LabelReplica

	UID, GID int // numeric, never 0
	GPU      GPURequest

	Memory    int64   // bytes, including swap
	CPUs      float64 // cores
	Pids      int64   // processes and threads
	NoFile    int64   // open files
	TmpfsSize int64   // bytes, of /tmp
	ShmSize   int64   // bytes, of /dev/shm

	ModelsDir     string // of the host, mounted read-only at /models; empty: the image's models
	HostPort      int    // on 127.0.0.1; 0: chosen by the engine
	ContainerPort int
	GRPC          bool   `json:",omitempty"` // publish GRPCPort as well, on 127.0.0.1 at a port that the engine chooses
	Network       string // a bridge of the owner's; see EnsureNetwork

	LogDriver   string // json-file or local
	LogMaxSize  int64  // bytes per file
	LogMaxFiles int

	StopGrace time.Duration // between SIGTERM and SIGKILL, rounded up to seconds
	Init      bool          // run an init process that reaps orphaned children
}

// GPURequest requests GPUs by UUID.
type GPURequest struct {
	UUIDs []string // GPU-… or MIG-…; none: no GPU
	// Driver is nvidia (the container toolkit's hook), cdi (the Container Device Interface), or empty: CDI if the engine
	// knows all the GPUs by it, else nvidia.
	Driver string
}

// Defaults returns a specification for a server on the CPU, without Name, Image, Labels and Memory.
func Defaults() Spec {
	return Spec{
		UID: 65532, GID: 65532,
		CPUs: 1, Pids: 512, NoFile: 16384, TmpfsSize: 64 << 20, ShmSize: 64 << 20,
		ContainerPort: 8000, Network: "fovea",
		LogDriver: "json-file", LogMaxSize: 10 << 20, LogMaxFiles: 3,
		StopGrace: 30 * time.Second,
	}
}

// hardening is incremented when what every container gets changes, so that containers of an older Fovea are replaced.
const hardening = 1

// Hash is equal for two specifications if and only if they make the same container; labels and the name do not count. The image
// counts as written, so a tag that moved does not change the hash.
func (s Spec) Hash() string {
	nanoCPUs := s.nanoCPUs() // JSON has no NaN
	s.Name, s.Labels, s.CPUs = "", nil, 0
	// nil and empty are equivalent
	s.Args, s.Env = append([]string{}, s.Args...), append([]string{}, s.Env...)
	s.GPU.UUIDs = append([]string{}, s.GPU.UUIDs...)
	if s.SecretFiles == nil {
		s.SecretFiles = map[string]string{}
	}
	data, err := json.Marshal(struct {
		Hardening int
		NanoCPUs  int64
		Spec      Spec
	}{hardening, nanoCPUs, s})
	if err != nil {
		panic("docker: marshal specification: " + err.Error())
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

func (s Spec) nanoCPUs() int64 { return int64(s.CPUs * 1e9) }
