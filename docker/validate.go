package docker

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	imageForm    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./:@-]{0,499}$`)
	nameForm     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	uuidForm     = regexp.MustCompile(`^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// mistakes collects what is wrong, each with its key.
type mistakes []error

func (m *mistakes) add(key, format string, args ...any) {
	*m = append(*m, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
}

// weak adds a mistake that would make the container less closed.
func (m *mistakes) weak(key, message string) {
	if message != "" {
		*m = append(*m, fmt.Errorf("%s: %w: %s", key, ErrUnsafe, message))
	}
}

func inRange[T int | int64](m *mistakes, key string, value, low, high T) {
	if value < low || value > high {
		m.add(key, "%d is not between %d and %d", value, low, high)
	}
}

// Validate returns all mistakes at once, each with its key; those that would weaken the container are ErrUnsafe.
func (s Spec) Validate() error {
	var m mistakes
	s.checkIdentity(&m)
	s.checkUser(&m)
	s.checkLimits(&m)
	s.checkEnv(&m)
	s.checkMounts(&m)
	s.checkGPU(&m)
	m.weak("network", wrongNetwork(s.Network))
	return errors.Join(m...)
}

func (s Spec) checkIdentity(m *mistakes) {
	if !nameForm.MatchString(s.Name) {
		m.add("name", "%q is not a name of letters, digits, _, . and -", s.Name)
	}
	if !imageName(s.Image) {
		m.add("image", "%q is not an image's name, digest or ID", s.Image)
	}
	for _, label := range []string{LabelOwner, LabelReplica} {
		if s.Labels[label] == "" {
			m.add("labels", "%s is missing", label)
		}
	}
	for _, label := range []string{LabelHash, LabelGPU, LabelImage} {
		if _, set := s.Labels[label]; set {
			m.add("labels", "%s is set by Fovea", label)
		}
	}
}

// imageName is wider than the engine's own rule, and keeps out what would make another request of the name.
func imageName(ref string) bool { return imageForm.MatchString(ref) && !strings.Contains(ref, "..") }

func (s Spec) checkUser(m *mistakes) {
	for _, id := range []struct {
		key   string
		value int
	}{{"uid", s.UID}, {"gid", s.GID}} {
		if id.value == 0 {
			m.weak(id.key, "0 is root; use 65532 or another number above 0")
		} else {
			inRange(m, id.key, id.value, 1, math.MaxInt32-1)
		}
	}
}

func (s Spec) checkLimits(m *mistakes) {
	const mebibyte, tebibyte = 1 << 20, 1 << 40
	inRange(m, "memory", s.Memory, 16*mebibyte, 64*tebibyte)
	if !(s.CPUs >= 0.01 && s.CPUs <= 4096) { // Not the other way round, which NaN would pass.
		m.add("cpus", "%g is not between 0.01 and 4096", s.CPUs)
	}
	inRange(m, "pids", s.Pids, 16, 1<<22)
	inRange(m, "nofile", s.NoFile, 64, 1<<20)
	most := int64(64 * tebibyte)
	if s.Memory >= mebibyte {
		most = s.Memory // What is in them counts as memory.
	}
	inRange(m, "tmpfs_size", s.TmpfsSize, mebibyte, most)
	inRange(m, "shm_size", s.ShmSize, mebibyte, most)
	inRange(m, "host_port", s.HostPort, 0, math.MaxUint16)
	inRange(m, "container_port", s.ContainerPort, 1, math.MaxUint16)
	if s.LogDriver != "json-file" && s.LogDriver != "local" {
		m.add("log_driver", "%q is not json-file or local", s.LogDriver)
	}
	inRange(m, "log_max_size", s.LogMaxSize, 64<<10, tebibyte)
	inRange(m, "log_max_files", s.LogMaxFiles, 1, 1000)
	if s.StopGrace < time.Second || s.StopGrace > time.Hour {
		m.add("stop_grace", "%s is not between 1s and 1h", s.StopGrace)
	}
}

func (s Spec) checkEnv(m *mistakes) {
	seen := map[string]bool{}
	for _, variable := range s.Env {
		name, value, ok := strings.Cut(variable, "=")
		switch key := "env." + name; {
		case !ok || !variableForm.MatchString(name) || strings.ContainsRune(value, 0):
			m.add(key, "%q is not NAME=value", name) // Not the value, which may be a secret.
		case seen[name]:
			m.add(key, "%s is there twice", name)
		default:
			m.weak(key, forbiddenVariable(name))
		}
		seen[name] = true
	}
}

// forbiddenVariable says why a variable may not be set, or nothing.
func forbiddenVariable(name string) string {
	upper := strings.ToUpper(name)
	if message := forbiddenLoaderVariable(name); message != "" {
		return message
	}
	if strings.HasPrefix(upper, "NVIDIA_") || upper == "CUDA_VISIBLE_DEVICES" {
		return name + " would change which GPUs the container has; use gpu"
	}
	for _, secret := range []string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIALS"} {
		if strings.HasSuffix(upper, secret) {
			return name + " looks like a secret, which everyone who may inspect the container could read; use secret_files"
		}
	}
	return ""
}

// forbiddenLoaderVariable: LD_PRELOAD and its like decide what code a program loads.
func forbiddenLoaderVariable(name string) string {
	upper := strings.ToUpper(name)
	if strings.HasPrefix(upper, "LD_") || upper == "GLIBC_TUNABLES" || upper == "GCONV_PATH" {
		return name + " would change what programs load"
	}
	return ""
}

func (s Spec) checkMounts(m *mistakes) {
	if s.ModelsDir != "" {
		m.weak("models_dir", forbiddenSource(s.ModelsDir))
	}
	for name, source := range s.SecretFiles {
		if !nameForm.MatchString(name) {
			m.add("secret_files", "%q is not a name of letters, digits, _, . and -", name)
		}
		m.weak("secret_files."+name, forbiddenSource(source))
	}
}

func (s Spec) checkGPU(m *mistakes) {
	for i, uuid := range s.GPU.UUIDs {
		if key := fmt.Sprintf("gpu.uuids[%d]", i); !uuidForm.MatchString(uuid) {
			m.add(key, "%q is not a UUID such as GPU-8f1e… or MIG-3c2a…, as nvidia-smi -L shows it", uuid)
		} else if slices.Index(s.GPU.UUIDs, uuid) < i {
			m.add(key, "%s is there twice", uuid)
		}
	}
	if !slices.Contains([]string{"", driverNVIDIA, driverCDI}, s.GPU.Driver) {
		m.add("gpu.driver", "%q is not nvidia, cdi or empty", s.GPU.Driver)
	}
}

// wrongNetwork says why a container may not join a network of this name, or nothing.
func wrongNetwork(name string) string {
	switch {
	case name == "host" || name == "none" || name == "bridge" || name == "default":
		return name + " is not a network of Fovea's own"
	case !nameForm.MatchString(name): // Also container:ID, another container's network.
		return fmt.Sprintf("%q is not a network's name", name)
	}
	return ""
}

// The engine's and containerd's sockets: who reaches one is root on the host.
var sockets = []string{
	"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
	"/run/docker/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
}

// forbiddenSource says why a path of the host may not be brought into a container, or nothing. It looks at the name
// only; checkSources looks at what is there.
func forbiddenSource(path string) string {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Sprintf("%q is not an absolute path without . and ..", path)
	}
	for _, tree := range []string{"/proc", "/sys", "/dev", "/etc", "/boot", "/var/lib/docker", "/var/lib/containerd"} {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return path + " is part of the host's system"
		}
	}
	for _, socket := range sockets {
		if path == "/" || path == socket || strings.HasPrefix(socket, path+"/") {
			return path + " is or holds " + socket + ", which makes its reader root on the host"
		}
	}
	if strings.HasSuffix(path, ".sock") {
		return path + " is a socket"
	}
	return ""
}
