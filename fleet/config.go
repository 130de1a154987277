package fleet

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"fovea/fleet/gateway"
	"fovea/internal/logging"
	"fovea/internal/safeyaml"
)

// Config is supervise.yaml: all that an operator decides.
type Config struct {
	Name     string            `yaml:"name"`     // of the fleet; part of its containers' names, and the label that says whose they are
	Image    string            `yaml:"image"`    // name or digest
	Models   string            `yaml:"models"`   // folder on this machine, read-only in the replicas; empty: the image's own
	GPUs     GPUSet            `yaml:"gpus"`     // none, all, or a list of indices and UUIDs
	Replicas int               `yaml:"replicas"` // on each GPU; without GPUs, in all
	Args     []string          `yaml:"args"`     // further arguments of the server
	Env      map[string]string `yaml:"env"`
	Secrets  map[string]string `yaml:"secrets"` // name: file on this machine, read-only at /run/secrets/NAME in the replicas
	User     string            `yaml:"user"`    // UID:GID, numbers, not root
	Network  string            `yaml:"network"` // of the engine; made if it is missing; empty: NAME
	Limits   Limits            `yaml:"limits"`
	Stop     time.Duration     `yaml:"stop"`   // between the signal to end and the kill
	Health   Health            `yaml:"health"` // when a replica is well
	Restart  Restart           `yaml:"restart"`
	Rollout  Rollout           `yaml:"rollout"`
	GPU      GPUWatch          `yaml:"gpu"`
	Gateway  GatewayConfig     `yaml:"gateway"`
	Engine   Engine            `yaml:"engine"`
	Socket   string            `yaml:"socket"` // of the control API
	State    string            `yaml:"state"`  // folder for what outlives the supervisor
	Log      logging.Config    `yaml:"log"`
}

// Limits bound one replica.
type Limits struct {
	Memory  Size    `yaml:"memory"` // and swap: none beyond it
	CPUs    float64 `yaml:"cpus"`
	Pids    int64   `yaml:"pids"`
	NoFile  int64   `yaml:"nofile"`
	Tmpfs   Size    `yaml:"tmpfs"` // of /tmp
	Shm     Size    `yaml:"shm"`   // of /dev/shm
	LogSize Size    `yaml:"log_size"`
	Logs    int     `yaml:"logs"` // files of log_size that are kept
}

// Health says when a replica is well.
type Health struct {
	Interval time.Duration `yaml:"interval"` // between two probes of a ready replica; starting ones are asked more often
	Timeout  time.Duration `yaml:"timeout"`  // of a probe
	Failures int           `yaml:"failures"` // probes without success, one after the other, that count as a failure
	Start    time.Duration `yaml:"start"`    // from creation until first ready
	Unready  time.Duration `yaml:"unready"`  // how long one that was ready may be unready before it is replaced
	Canary   time.Duration `yaml:"canary"`   // between two predictions on an image of the supervisor's own; 0: none
	Drain    time.Duration `yaml:"drain"`    // how long requests in flight may take before a planned stop cuts them off
}

// Restart says when and how often a replica that ended is replaced.
type Restart struct {
	MinBackoff time.Duration `yaml:"min_backoff"`
	MaxBackoff time.Duration `yaml:"max_backoff"`
	Reset      time.Duration `yaml:"reset"`    // ready for so long makes back-off start anew
	Failures   int           `yaml:"failures"` // more than these within the window, and the replica has failed for good
	Window     time.Duration `yaml:"window"`
}

// Rollout says how replicas are exchanged.
type Rollout struct {
	Order   string        `yaml:"order"`   // auto, start-first or stop-first
	Monitor time.Duration `yaml:"monitor"` // how long a new replica must have been ready before the next step
}

// GPUWatch says how GPUs are watched.
type GPUWatch struct {
	Library string        `yaml:"library"` // NVML's; empty: libnvidia-ml.so.1
	Driver  string        `yaml:"driver"`  // auto, nvidia or cdi: how the engine hands GPUs to containers
	Poll    time.Duration `yaml:"poll"`    // between two probes of a GPU
	Probes  int           `yaml:"probes"`  // that a quarantined GPU must pass, one after the other
}

// GatewayConfig says where requests come in, and how they are passed on.
type GatewayConfig struct {
	Address        string `yaml:"address"`
	ReplayMemory   Size   `yaml:"replay_memory"` // for bodies until their answers begin, so that a second replica can be given them; one takes a quarter at most
	gateway.Config `yaml:",inline"`
}

// own is the gateway's own configuration.
func (c GatewayConfig) own() gateway.Config {
	own := c.Config
	own.ReplayMemory = int64(c.ReplayMemory)
	return own
}

// Engine says how the container engine is reached.
type Engine struct {
	Host    string        `yaml:"host"`    // such as unix:///run/docker.sock; empty: DOCKER_HOST or the default
	Timeout time.Duration `yaml:"timeout"` // of one call, beside the time that a stop is given
	Resync  time.Duration `yaml:"resync"`  // between two looks at all containers
}

// Defaults is the configuration of an empty file.
func Defaults() Config {
	return Config{
		Name: "fovea", Image: "fovea", Replicas: 1, User: "65532:65532", Stop: 35 * time.Second,
		Limits: Limits{Memory: 4 << 30, CPUs: 2, Pids: 512, NoFile: 16384, Tmpfs: 64 << 20, Shm: 64 << 20, LogSize: 10 << 20, Logs: 3},
		Health: Health{
			Interval: time.Second, Timeout: 3 * time.Second, Failures: 3, Start: 2 * time.Minute, Unready: 30 * time.Second,
			Canary: 10 * time.Second, Drain: time.Minute,
		},
		Restart: Restart{MinBackoff: time.Second, MaxBackoff: time.Minute, Reset: 10 * time.Minute, Failures: 5, Window: 10 * time.Minute},
		Rollout: Rollout{Order: OrderAuto, Monitor: 10 * time.Second},
		GPU:     GPUWatch{Driver: "auto", Poll: 5 * time.Second, Probes: 3},
		Gateway: GatewayConfig{Address: "127.0.0.1:8080", ReplayMemory: Size(gateway.Defaults().ReplayMemory), Config: gateway.Defaults()},
		Engine:  Engine{Timeout: 15 * time.Second, Resync: 10 * time.Second},
		Socket:  "/run/fovea/supervise.sock",
		State:   "/var/lib/fovea/supervise",
		Log:     logging.Defaults(),
	}
}

// The values of Rollout.Order.
const (
	OrderAuto       = "auto" // start first where memory allows
	OrderStartFirst = "start-first"
	OrderStopFirst  = "stop-first"
)

// Size is a number of bytes, written as a number with or without the unit KiB, MiB or GiB.
type Size int64

// units from the largest on; the last one stands for none.
var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// UnmarshalYAML reads the written form.
func (s *Size) UnmarshalYAML(data []byte) error {
	var text string
	if err := safeyaml.Unmarshal(data, &text); err != nil {
		return err
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		bytes := n * float64(u.bytes)
		if err != nil || math.IsNaN(bytes) || bytes < 0 || bytes >= math.MaxInt64 {
			break
		}
		*s = Size(bytes)
		return nil
	}
	return fmt.Errorf("%q is no size; want a number with KiB, MiB, GiB or no unit", text)
}

// MarshalYAML gives the written form.
func (s Size) MarshalYAML() ([]byte, error) { return []byte(s.String()), nil }

// String gives the largest unit of which it is a whole number.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0"
}

// GPUSet says which GPUs are used.
type GPUSet struct {
	All  bool
	List []string // indices, or UUIDs of GPUs or MIG instances
}

// None tells whether the fleet runs on the CPU.
func (g GPUSet) None() bool { return !g.All && len(g.List) == 0 }

// UnmarshalYAML reads none, all, one GPU, or a list of GPUs.
func (g *GPUSet) UnmarshalYAML(data []byte) error {
	var list []string
	if err := safeyaml.Unmarshal(data, &list); err == nil {
		g.All, g.List = false, list
		return nil
	}
	var word string
	if err := safeyaml.Unmarshal(data, &word); err != nil {
		return fmt.Errorf("want none, all, or a list of indices and UUIDs")
	}
	*g = GPUSet{All: word == "all"}
	if word != "all" && word != "none" {
		g.List = []string{word}
	}
	return nil
}

// MarshalYAML gives the written form.
func (g GPUSet) MarshalYAML() ([]byte, error) {
	switch {
	case g.All:
		return []byte("all"), nil
	case len(g.List) == 0:
		return []byte("none"), nil
	}
	return []byte("[" + strings.Join(g.List, ", ") + "]"), nil
}
