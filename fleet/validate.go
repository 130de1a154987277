package fleet

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/docker"
	"fovea/internal/mistake"
)

var (
	nameForm     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// maxSocket is what a Unix socket's address holds on Linux, with the byte that ends it.
const maxSocket = 107

// Validate returns all mistakes, each naming its key.
func (c Config) Validate() error {
	var name, image, network error
	if !nameForm.MatchString(c.Name) {
		name = fmt.Errorf("name: %q: want 1 to 32 of a-z, 0-9 and -, not at an end", c.Name)
	}
	if c.Image == "" || strings.ContainsAny(c.Image, " \t\n") {
		image = fmt.Errorf("image: %q is no name of an image", c.Image)
	}
	if slices.Contains([]string{"host", "none", "bridge", "default"}, c.Network) || strings.HasPrefix(c.Network, "container:") {
		network = fmt.Errorf("network: %q is not a network of the replicas' own", c.Network)
	}
	own := errors.Join(name, image, network,
		count("replicas", c.Replicas, 1, 64), c.GPUs.validate(), c.user(), c.variables(),
		between("stop", c.Stop, time.Second, time.Hour), c.Limits.validate(), c.Health.validate(), c.Restart.validate(),
		c.Rollout.validate(), c.GPU.validate(), c.gateway(), c.Engine.validate(), c.places(), mistake.Under("log", c.Log.Validate()))
	return errors.Join(own, c.container(own))
}

// keys are those of the configuration that become a container's, by the container's.
var keys = map[string]string{
	"uid": "user", "gid": "user", "memory": "limits.memory", "cpus": "limits.cpus", "pids": "limits.pids", "nofile": "limits.nofile",
	"tmpfs_size": "limits.tmpfs", "shm_size": "limits.shm", "log_max_size": "limits.log_size", "log_max_files": "limits.logs",
	"stop_grace": "stop", "models_dir": "models", "secret_files": "secrets",
}

// container tells what a container of this configuration could not be, or would be too weak for, beside what is said
// already.
func (c Config) container(said error) error {
	d, err := NewDeployment(c, docker.Image{ID: c.Image})
	if err != nil {
		return nil // It is the user, which is said.
	}
	known := map[string]bool{}
	for _, m := range mistake.All(said) {
		key, _, _ := strings.Cut(m.Error(), ": ")
		known[key] = true
	}
	var mistakes []error
	for _, m := range mistake.All(d.spec(c.Name, Placement{Name: "any"}).Validate()) {
		key, why, _ := strings.Cut(m.Error(), ": ")
		section, rest, _ := strings.Cut(key, ".")
		if own, ok := keys[section]; ok {
			key = strings.TrimSuffix(own+"."+rest, ".")
		}
		if !known[key] {
			mistakes = append(mistakes, fmt.Errorf("%s: %s", key, why))
		}
	}
	return errors.Join(mistakes...)
}

func (c Config) user() error {
	if _, _, err := parseUser(c.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return nil
}

// parseUser reads UID:GID.
func parseUser(text string) (uid, gid int, err error) {
	u, g, _ := strings.Cut(text, ":")
	uid, errUser := strconv.Atoi(u)
	gid, errGroup := strconv.Atoi(g)
	if errUser != nil || errGroup != nil || uid < 1 || gid < 1 {
		return 0, 0, fmt.Errorf("%q: want UID:GID, both numbers above 0", text)
	}
	return uid, gid, nil
}

func (c Config) variables() error {
	var mistakes []error
	check := func(section, name string) {
		switch {
		case !variableForm.MatchString(name):
			mistakes = append(mistakes, fmt.Errorf("%s.%s: is no name of a variable", section, name))
		case strings.HasPrefix(name, "LD_"):
			mistakes = append(mistakes, fmt.Errorf("%s.%s: variables of the loader are refused: container toolkits have been escaped through them", section, name))
		case strings.HasPrefix(name, "NVIDIA_"):
			mistakes = append(mistakes, fmt.Errorf("%s.%s: GPUs are chosen by the key gpus", section, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		check("env", name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		check("secrets", name)
		if _, twice := c.Env[name]; twice {
			mistakes = append(mistakes, fmt.Errorf("secrets.%s: is in env too", name))
		}
	}
	return errors.Join(mistakes...)
}

func (c Config) gateway() error {
	var address error
	if _, port, err := net.SplitHostPort(c.Gateway.Address); err != nil || port == "" {
		address = fmt.Errorf("gateway.address: %q: want HOST:PORT", c.Gateway.Address)
	}
	return errors.Join(address, size("gateway.replay_memory", c.Gateway.ReplayMemory, 0, 1<<40), mistake.Under("gateway", c.Gateway.own().Validate()))
}

func (c Config) places() error {
	var mistakes []error
	if c.Socket == "" || len(c.Socket) > maxSocket {
		mistakes = append(mistakes, fmt.Errorf("socket: %q: want a path of 1 to %d bytes", c.Socket, maxSocket))
	}
	if c.State == "" {
		mistakes = append(mistakes, errors.New("state: is empty; want a folder"))
	}
	return errors.Join(mistakes...)
}

func (g GPUSet) validate() error {
	var mistakes []error
	seen := map[string]bool{}
	for _, name := range g.List {
		n, err := strconv.Atoi(name)
		isUUID := strings.HasPrefix(name, "GPU-") || strings.HasPrefix(name, "MIG-")
		switch {
		case !isUUID && (err != nil || n < 0):
			mistakes = append(mistakes, fmt.Errorf("gpus: %q is neither an index nor a UUID that begins with GPU- or MIG-", name))
		case seen[name]:
			mistakes = append(mistakes, fmt.Errorf("gpus: %s is there twice", name))
		}
		seen[name] = true
	}
	return errors.Join(mistakes...)
}

func (l Limits) validate() error {
	var cpus error
	if !(l.CPUs >= 0.01 && l.CPUs <= 1024) { // also refuses what is not a number
		cpus = fmt.Errorf("limits.cpus: %g is not between 0.01 and 1024", l.CPUs)
	}
	return errors.Join(cpus,
		size("limits.memory", l.Memory, 64<<20, 16<<40), size("limits.tmpfs", l.Tmpfs, 1<<20, 1<<40),
		size("limits.shm", l.Shm, 1<<20, 1<<40), size("limits.log_size", l.LogSize, 1<<16, 1<<40),
		count("limits.pids", l.Pids, 16, 1<<20), count("limits.nofile", l.NoFile, 256, 1<<20), count("limits.logs", l.Logs, 1, 100))
}

func (h Health) validate() error {
	var canary error
	if h.Canary != 0 {
		canary = between("health.canary", h.Canary, time.Second, time.Hour)
	}
	return errors.Join(canary,
		between("health.interval", h.Interval, 100*time.Millisecond, time.Minute),
		between("health.timeout", h.Timeout, 100*time.Millisecond, time.Minute),
		count("health.failures", h.Failures, 1, 100),
		between("health.start", h.Start, time.Second, 24*time.Hour),
		between("health.unready", h.Unready, time.Second, 24*time.Hour),
		between("health.drain", h.Drain, time.Second, time.Hour))
}

func (r Restart) validate() error {
	var order error
	if r.MaxBackoff < r.MinBackoff {
		order = fmt.Errorf("restart.max_backoff: %s is below restart.min_backoff, %s", r.MaxBackoff, r.MinBackoff)
	}
	return errors.Join(order,
		between("restart.min_backoff", r.MinBackoff, 100*time.Millisecond, time.Hour),
		between("restart.max_backoff", r.MaxBackoff, 100*time.Millisecond, time.Hour),
		between("restart.reset", r.Reset, time.Second, 24*time.Hour),
		between("restart.window", r.Window, time.Second, 24*time.Hour),
		count("restart.failures", r.Failures, 1, 1000))
}

func (r Rollout) validate() error {
	return errors.Join(
		mistake.OneOf("rollout.order", r.Order, OrderAuto, OrderStartFirst, OrderStopFirst),
		between("rollout.monitor", r.Monitor, 0, time.Hour))
}

func (g GPUWatch) validate() error {
	return errors.Join(
		mistake.OneOf("gpu.driver", g.Driver, "auto", "nvidia", "cdi"),
		between("gpu.poll", g.Poll, 100*time.Millisecond, time.Minute), count("gpu.probes", g.Probes, 1, 100))
}

func (e Engine) validate() error {
	return errors.Join(
		between("engine.timeout", e.Timeout, time.Second, 10*time.Minute),
		between("engine.resync", e.Resync, time.Second, 10*time.Minute))
}

func between(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return fmt.Errorf("%s: %s is not between %s and %s", key, d, low, high)
	}
	return nil
}

func count[T int | int64](key string, n, low, high T) error {
	if n < low || n > high {
		return fmt.Errorf("%s: %d is not between %d and %d", key, n, low, high)
	}
	return nil
}

func size(key string, s, low, high Size) error {
	if s < low || s > high {
		return fmt.Errorf("%s: %s is not between %s and %s", key, s, low, high)
	}
	return nil
}
