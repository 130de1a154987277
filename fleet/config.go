package fleet

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/docker"
	"fovea/fleet/gateway"
	"fovea/internal/config"
	"fovea/internal/logging"
	"fovea/internal/tracing"
)

// Config is supervise.yaml.
type Config struct {
	Name        string            `yaml:"name"`                   // of the fleet; part of its containers' names and of their owner label
	Image       string            `yaml:"image"`                  // name or digest of the container image
	Models      string            `yaml:"models"`                 // folder on this machine, mounted read-only in the replicas; empty: the container image's own
	GPUs        GPUSet            `yaml:"gpus"`                   // none, all, or a list of indices and UUIDs
	Replicas    int               `yaml:"replicas" range:"1..64"` // per GPU; without GPUs, in total
	Args        []string          `yaml:"args"`                   // additional arguments of the server
	Env         map[string]string `yaml:"env"`                    // environment variables of the server
	Secrets     map[string]string `yaml:"secrets"`                // NAME: file on this machine, mounted read-only at /run/secrets/NAME in the replicas
	User        string            `yaml:"user"`                   // UID:GID, numeric, not root
	Network     string            `yaml:"network"`                // of the Docker engine; created if missing; empty: NAME
	Limits      Limits            `yaml:"limits"`
	StopTimeout time.Duration     `yaml:"stop_timeout" range:"1s..1h"` // between SIGTERM and SIGKILL
	Health      Health            `yaml:"health"`
	Restart     Restart           `yaml:"restart"`
	Rollout     Rollout           `yaml:"rollout"`
	GPU         GPUWatch          `yaml:"gpu"`
	Gateway     GatewayConfig     `yaml:"gateway"`
	Engine      Engine            `yaml:"engine"`
	Socket      string            `yaml:"socket"` // of the control API
	State       string            `yaml:"state"`  // folder for the persistent state
	Log         logging.Config    `yaml:"log"`
	Traces      tracing.Config    `yaml:"traces"` // of the gateway; the replicas have their own in env
}

// Limits are the resources of one replica.
type Limits struct {
	Memory  config.Size `yaml:"memory" range:"64MiB..16TiB"`  // without swap
	CPUs    float64     `yaml:"cpus" range:"0.01..1024"`      // CPU time, in cores
	Pids    int64       `yaml:"pids" range:"16..1048576"`     // processes and threads
	NoFile  int64       `yaml:"nofile" range:"256..1048576"`  // open files
	Tmpfs   config.Size `yaml:"tmpfs" range:"1MiB..1TiB"`     // of /tmp
	Shm     config.Size `yaml:"shm" range:"1MiB..1TiB"`       // of /dev/shm
	LogSize config.Size `yaml:"log_size" range:"64KiB..1TiB"` // of one log file
	Logs    int         `yaml:"logs" range:"1..100"`          // log files kept
}

// Health decides when a replica is healthy.
type Health struct {
	Interval       time.Duration `yaml:"interval" range:"100ms..1m"`      // between probes of a ready replica; starting ones are probed more often
	Timeout        time.Duration `yaml:"timeout" range:"100ms..1m"`       // of a probe
	Failures       int           `yaml:"failures" range:"1..100"`         // consecutive failed probes that count as a failure
	StartTimeout   time.Duration `yaml:"start_timeout" range:"1s..24h"`   // from creation until first ready
	UnreadyTimeout time.Duration `yaml:"unready_timeout" range:"1s..24h"` // after which a replica that was ready is replaced
	Canary         time.Duration `yaml:"canary"`                          // between predictions of a canary image; 0: none
	Drain          time.Duration `yaml:"drain" range:"1s..1h"`            // time limit for requests in flight at a planned stop
}

// Restart decides when and how often a replica is restarted.
type Restart struct {
	MinBackoff time.Duration `yaml:"min_backoff" range:"100ms..1h"` // before the first restart
	MaxBackoff time.Duration `yaml:"max_backoff" range:"100ms..1h"` // at most between two restarts
	ResetAfter time.Duration `yaml:"reset_after" range:"1s..24h"`   // ready this long resets the backoff
	Failures   int           `yaml:"failures" range:"1..1000"`      // more than these within the window, and the replica is not restarted
	Window     time.Duration `yaml:"window" range:"1s..24h"`        // in which failures count
}

// Rollout decides how replicas are replaced.
type Rollout struct {
	Order   string        `yaml:"order" oneof:"auto,start-first,stop-first"` // start-first needs memory for both replicas; auto: start-first where it is there
	Monitor time.Duration `yaml:"monitor" range:"0s..1h"`                    // how long a new replica must be ready before the next step
}

// GPUWatch decides how GPUs are watched.
type GPUWatch struct {
	Library string        `yaml:"library"`                        // path of NVML's library; empty: libnvidia-ml.so.1
	Driver  string        `yaml:"driver" oneof:"auto,nvidia,cdi"` // how the Docker engine passes GPUs to containers
	Poll    time.Duration `yaml:"poll" range:"100ms..1m"`         // between polls of the GPUs
	Probes  int           `yaml:"probes" range:"1..100"`          // consecutive successful probes that end a quarantine
}

// GatewayConfig is where the gateway listens, and its own configuration.
type GatewayConfig struct {
	Address        string     `yaml:"address"` // host:port to listen on
	GRPC           GRPCConfig `yaml:"grpc"`
	gateway.Config `yaml:",inline"`
}

// GRPCConfig is where the gateway listens for gRPC. TLS, keys and limits are those of HTTP.
type GRPCConfig struct {
	Address string `yaml:"address"` // host:port; empty: off. Then the replicas have no port for it either
}

// Engine configures the connection to the Docker engine.
type Engine struct {
	Host    string        `yaml:"host"`                    // such as unix:///run/docker.sock; empty: DOCKER_HOST or the default
	Timeout time.Duration `yaml:"timeout" range:"1s..10m"` // of one call, in addition to a stop's own time
	Resync  time.Duration `yaml:"resync" range:"1s..10m"`  // between lists of all containers
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{
		Name: "fovea", Image: "fovea", Replicas: 1, User: "65532:65532", StopTimeout: 35 * time.Second,
		Limits: Limits{Memory: 4 << 30, CPUs: 2, Pids: 512, NoFile: 16384, Tmpfs: 64 << 20, Shm: 64 << 20, LogSize: 10 << 20, Logs: 3},
		Health: Health{
			Interval: time.Second, Timeout: 3 * time.Second, Failures: 3, StartTimeout: 2 * time.Minute, UnreadyTimeout: 30 * time.Second,
			Canary: 10 * time.Second, Drain: time.Minute,
		},
		Restart: Restart{MinBackoff: time.Second, MaxBackoff: time.Minute, ResetAfter: 10 * time.Minute, Failures: 5, Window: 10 * time.Minute},
		Rollout: Rollout{Order: OrderAuto, Monitor: 10 * time.Second},
		GPU:     GPUWatch{Driver: "auto", Poll: 5 * time.Second, Probes: 3},
		Gateway: GatewayConfig{Address: "127.0.0.1:8080", Config: gateway.Defaults()},
		Engine:  Engine{Timeout: 15 * time.Second, Resync: 10 * time.Second},
		Socket:  "/run/fovea/supervise.sock",
		State:   "/var/lib/fovea/supervise",
		Log:     logging.Defaults(),
		Traces:  tracing.Defaults(),
	}
}

// The values of Rollout.Order.
const (
	OrderAuto       = "auto" // start first where memory allows
	OrderStartFirst = "start-first"
	OrderStopFirst  = "stop-first"
)

// GPUSet says which GPUs are used.
type GPUSet struct {
	All  bool
	List []string // indices, or UUIDs of GPUs or MIG instances
}

// None reports whether the fleet runs on the CPU.
func (g GPUSet) None() bool { return !g.All && len(g.List) == 0 }

// UnmarshalText reads none, all, or indices and UUIDs separated by commas.
func (g *GPUSet) UnmarshalText(text []byte) error {
	*g = GPUSet{}
	switch string(text) {
	case "none", "":
	case "all":
		g.All = true
	default:
		for name := range strings.SplitSeq(string(text), ",") {
			g.List = append(g.List, strings.TrimSpace(name))
		}
	}
	return nil
}

// String is the form that UnmarshalText reads.
func (g GPUSet) String() string {
	switch {
	case g.All:
		return "all"
	case g.None():
		return "none"
	}
	return strings.Join(g.List, ",")
}

// Load reads a configuration file over the defaults. All errors are returned together. Relative paths in the file are
// relative to its folder.
func Load(file string) (Config, error) {
	c := Defaults()
	report := config.Read(&c, config.Sources{File: file})
	c.anchor(filepath.Dir(file))
	return c, report.Check(c)
}

// anchor makes paths absolute.
func (c *Config) anchor(dir string) {
	tls := &c.Gateway.TLS
	for _, path := range []*string{&c.Models, &c.Socket, &c.State, &c.Gateway.Access.Keys, &tls.Certificate, &tls.Key, &tls.ClientCA} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
		if *path != "" {
			if abs, err := filepath.Abs(*path); err == nil {
				*path = abs
			}
		}
	}
	for name, path := range c.Secrets {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if abs, err := filepath.Abs(path); err == nil {
			c.Secrets[name] = abs
		}
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)

// maxSocket is the length of a Unix socket's address on Linux, without the terminating byte.
const maxSocket = 107

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if !nameForm.MatchString(c.Name) {
		errs.Add("name", "%q is not a valid name: 1 to 32 of a-z, 0-9 and -, not at an end", c.Name)
	}
	if _, _, err := parseUser(c.User); err != nil {
		errs.Add("user", "%w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		if _, twice := c.Env[name]; twice {
			errs.Add("secrets."+name, "is also in env")
		}
	}
	if c.Socket == "" || len(c.Socket) > maxSocket {
		errs.Add("socket", "%q is not a path of 1 to %d bytes", c.Socket, maxSocket)
	}
	if c.State == "" {
		errs.Add("state", "is required")
	}
	c.checkReplicasAreOpen(errs)
	c.checkReplicasGRPC(errs)
	c.checkContainer(errs)
}

// ofGateway are keys of the server that the gateway has instead of the replicas: probes and the gateway reach these without
// TLS and API keys, on a separate network, and all from one address.
var ofGateway = []string{"http.tls.certificate", "http.keys", "http.rate.limit"}

// checkReplicasAreOpen reports settings of the server with which the supervisor could not reach its replicas.
func (c Config) checkReplicasAreOpen(errs *config.Errors) {
	for _, key := range ofGateway {
		instead := strings.Replace(key, "http", "gateway", 1)
		if c.Env[config.Variable(key)] != "" {
			errs.Add("env."+config.Variable(key), "is not for replicas, which only the supervisor reaches; set %s", instead)
		}
		for i, arg := range c.Args {
			if strings.HasPrefix(arg, "--"+key+"=") || arg == "--"+key {
				errs.Add(config.Index("args", i), "%s is not for replicas, which only the supervisor reaches; set %s", arg, instead)
			}
		}
	}
}

// grpcKey is the server's key for its address for gRPC, which is set for replicas if the gateway has one.
const grpcKey = "grpc.address"

// checkReplicasGRPC reports another address for gRPC of the replicas than the gateway's.
func (c Config) checkReplicasGRPC(errs *config.Errors) {
	if c.Gateway.GRPC.Address == "" {
		return
	}
	if _, set := c.Env[config.Variable(grpcKey)]; set {
		errs.Add("env."+config.Variable(grpcKey), "is set for the replicas, since gateway.grpc.address is set")
	}
	for i, arg := range c.Args {
		if strings.HasPrefix(arg, "--"+grpcKey+"=") || arg == "--"+grpcKey {
			errs.Add(config.Index("args", i), "%s is set for the replicas, since gateway.grpc.address is set", arg)
		}
	}
}

// containerKeys are the keys that become a container's, by the container's.
var containerKeys = map[string]string{
	"uid": "user", "gid": "user", "memory": "limits.memory", "cpus": "limits.cpus", "pids": "limits.pids", "nofile": "limits.nofile",
	"tmpfs_size": "limits.tmpfs", "shm_size": "limits.shm", "log_max_size": "limits.log_size", "log_max_files": "limits.logs",
	"stop_grace": "stop", "models_dir": "models", "secret_files": "secrets",
}

// checkContainer reports what package docker refuses in a container of this configuration.
func (c Config) checkContainer(errs *config.Errors) {
	d, err := NewDeployment(c, docker.Image{ID: c.Image})
	if err != nil {
		return // the user, which is reported already
	}
	var own config.Errors
	d.spec(c.Name, Placement{Name: "any"}).Check(&own)
	for _, e := range own {
		section, rest, _ := strings.Cut(e.Key, ".")
		if key, ok := containerKeys[section]; ok {
			e.Key = config.Join(key, rest)
		}
		if !errs.Has(e.Key) {
			*errs = append(*errs, e)
		}
	}
}

// parseUser reads UID:GID.
func parseUser(text string) (uid, gid int, err error) {
	u, g, _ := strings.Cut(text, ":")
	uid, errUser := strconv.Atoi(u)
	gid, errGroup := strconv.Atoi(g)
	if errUser != nil || errGroup != nil || uid < 1 || gid < 1 {
		return 0, 0, fmt.Errorf("%q is not UID:GID, both numbers above 0", text)
	}
	return uid, gid, nil
}

// Check implements config.Checker.
func (c GatewayConfig) Check(errs *config.Errors) {
	if _, port, err := net.SplitHostPort(c.Address); err != nil || port == "" {
		errs.Add("address", "%q is not host:port", c.Address)
	}
	if c.GRPC.Address != "" {
		errs.Address("grpc.address", c.GRPC.Address)
		if c.GRPC.Address == c.Address && !strings.HasSuffix(c.Address, ":0") {
			errs.Add("grpc.address", "is also gateway.address")
		}
	}
}

// Check implements config.Checker.
func (g GPUSet) Check(errs *config.Errors) {
	seen := map[string]bool{}
	for _, name := range g.List {
		n, err := strconv.Atoi(name)
		isUUID := strings.HasPrefix(name, "GPU-") || strings.HasPrefix(name, "MIG-")
		switch {
		case !isUUID && (err != nil || n < 0):
			errs.Add("", "%q is neither an index nor a UUID that begins with GPU- or MIG-", name)
		case seen[name]:
			errs.Add("", "%s is listed twice", name)
		}
		seen[name] = true
	}
}

// Check implements config.Checker.
func (h Health) Check(errs *config.Errors) {
	if h.Canary != 0 {
		config.Range(errs, "canary", h.Canary, time.Second, time.Hour)
	}
}

// Check implements config.Checker.
func (r Restart) Check(errs *config.Errors) {
	if r.MaxBackoff < r.MinBackoff {
		errs.Add("max_backoff", "%s is less than restart.min_backoff (%s)", config.Format(r.MaxBackoff), config.Format(r.MinBackoff))
	}
}
