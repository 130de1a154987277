package docker

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"fovea/internal/config"
)

var (
	imageForm    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_./:@-]{0,499}$`)
	nameForm     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	uuidForm     = regexp.MustCompile(`^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// unsafe reports what would weaken the container, unless the reason is empty.
func unsafe(errs *config.Errors, key, reason string) {
	if reason != "" {
		errs.Add(key, "%w: %s", ErrUnsafe, reason)
	}
}

// Validate returns all errors together, each with its key; those that would weaken the container are ErrUnsafe.
func (s Spec) Validate() error {
	var errs config.Errors
	s.Check(&errs)
	return errs.Err()
}

// Check implements config.Checker.
func (s Spec) Check(errs *config.Errors) {
	s.checkIdentity(errs)
	s.checkUser(errs)
	s.checkLimits(errs)
	s.checkEnv(errs)
	s.checkMounts(errs)
	s.checkGPU(errs)
	unsafe(errs, "network", wrongNetwork(s.Network))
}

func (s Spec) checkIdentity(errs *config.Errors) {
	if !nameForm.MatchString(s.Name) {
		errs.Add("name", "%q is not a valid name: letters, digits, _, . and -", s.Name)
	}
	if !imageName(s.Image) {
		errs.Add("image", "%q is not the name, digest or ID of a container image", s.Image)
	}
	for _, label := range []string{LabelOwner, LabelReplica} {
		if s.Labels[label] == "" {
			errs.Add("labels", "%s is required", label)
		}
	}
	for _, label := range []string{LabelHash, LabelGPU, LabelImage} {
		if _, set := s.Labels[label]; set {
			errs.Add("labels", "%s is set by Fovea itself", label)
		}
	}
}

// imageName is wider than the engine's own rule, and keeps out what would make another request of the name.
func imageName(ref string) bool { return imageForm.MatchString(ref) && !strings.Contains(ref, "..") }

func (s Spec) checkUser(errs *config.Errors) {
	for _, id := range []struct {
		key   string
		value int
	}{{"uid", s.UID}, {"gid", s.GID}} {
		if id.value == 0 {
			unsafe(errs, id.key, "0 is root; use another user, such as 65532")
		} else {
			config.Range(errs, id.key, id.value, 1, math.MaxInt32-1)
		}
	}
}

func (s Spec) checkLimits(errs *config.Errors) {
	const mebibyte, tebibyte = 1 << 20, 1 << 40
	size := func(key string, value int64, low, high config.Size) {
		config.Range(errs, key, config.Size(value), low, high)
	}
	size("memory", s.Memory, 16*mebibyte, 64*tebibyte)
	config.Range(errs, "cpus", s.CPUs, 0.01, 4096)
	config.Range(errs, "pids", s.Pids, 16, 1<<22)
	config.Range(errs, "nofile", s.NoFile, 64, 1<<20)
	largest := config.Size(64 * tebibyte)
	if s.Memory >= mebibyte {
		largest = config.Size(s.Memory) // their contents count as memory
	}
	size("tmpfs_size", s.TmpfsSize, mebibyte, largest)
	size("shm_size", s.ShmSize, mebibyte, largest)
	config.Range(errs, "host_port", s.HostPort, 0, math.MaxUint16)
	config.Range(errs, "container_port", s.ContainerPort, 1, math.MaxUint16)
	if s.ContainerPort == GRPCPort {
		errs.Add("container_port", "%d is the port for gRPC", GRPCPort)
	}
	errs.OneOf("log_driver", s.LogDriver, "json-file", "local")
	size("log_max_size", s.LogMaxSize, 64<<10, tebibyte)
	config.Range(errs, "log_max_files", s.LogMaxFiles, 1, 1000)
	config.Range(errs, "stop_grace", s.StopGrace, time.Second, time.Hour)
}

func (s Spec) checkEnv(errs *config.Errors) {
	seen := map[string]bool{}
	for _, variable := range s.Env {
		name, value, ok := strings.Cut(variable, "=")
		switch key := "env." + name; {
		case !ok || !variableForm.MatchString(name) || strings.ContainsRune(value, 0):
			errs.Add(key, "%q is not NAME=value with a valid name", name) // the value may be a secret
		case seen[name]:
			errs.Add(key, "%s is set twice", name)
		default:
			unsafe(errs, key, forbiddenVariable(name))
		}
		seen[name] = true
	}
}

// forbiddenVariable returns why a variable may not be set, or "".
func forbiddenVariable(name string) string {
	upper := strings.ToUpper(name)
	if message := forbiddenLoaderVariable(name); message != "" {
		return message
	}
	if strings.HasPrefix(upper, "NVIDIA_") || upper == "CUDA_VISIBLE_DEVICES" {
		return name + " would change which GPUs the container has"
	}
	for _, secret := range []string{"PASSWORD", "PASSWD", "SECRET", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY", "CREDENTIALS"} {
		if strings.HasSuffix(upper, secret) {
			return name + " looks like a secret; anyone who can inspect the container can read its environment: use a secret file"
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

func (s Spec) checkMounts(errs *config.Errors) {
	for _, name := range slices.Sorted(maps.Keys(s.SecretFiles)) {
		if !nameForm.MatchString(name) {
			errs.Add("secret_files", "%q is not a valid name: letters, digits, _, . and -", name)
		}
	}
	s.checkPaths(errs, forbiddenSource)
}

// checkPaths reports the paths of the host for which forbidden has a reason.
func (s Spec) checkPaths(errs *config.Errors, forbidden func(path string) string) {
	if s.ModelsDir != "" {
		unsafe(errs, "models_dir", forbidden(s.ModelsDir))
	}
	for _, name := range slices.Sorted(maps.Keys(s.SecretFiles)) {
		unsafe(errs, "secret_files."+name, forbidden(s.SecretFiles[name]))
	}
}

func (s Spec) checkGPU(errs *config.Errors) {
	for i, uuid := range s.GPU.UUIDs {
		if key := fmt.Sprintf("gpu.uuids[%d]", i); !uuidForm.MatchString(uuid) {
			errs.Add(key, "%q is not a UUID as printed by nvidia-smi -L, such as GPU-8f1e… or MIG-3c2a…", uuid)
		} else if slices.Index(s.GPU.UUIDs, uuid) < i {
			errs.Add(key, "%s is listed twice", uuid)
		}
	}
	if s.GPU.Driver != "" {
		errs.OneOf("gpu.driver", s.GPU.Driver, driverNVIDIA, driverCDI)
	}
}

// wrongNetwork returns why a container may not join a network of this name, or "".
func wrongNetwork(name string) string {
	switch {
	case name == "host" || name == "none" || name == "bridge" || name == "default":
		return name + " is not a dedicated network"
	case !nameForm.MatchString(name): // Also container:ID, another container's network.
		return fmt.Sprintf("%q is not a valid network name", name)
	}
	return ""
}

// The engine's and containerd's sockets: who reaches one is root on the host.
var sockets = []string{
	"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
	"/run/docker/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock",
}

// forbiddenSource returns why a path of the host may not be brought into a container, or "". It looks at the name
// only; forbiddenTarget looks at what is there.
func forbiddenSource(path string) string {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return fmt.Sprintf("%q is not an absolute path without . or ..", path)
	}
	for _, tree := range []string{"/proc", "/sys", "/dev", "/etc", "/boot", "/var/lib/docker", "/var/lib/containerd"} {
		if path == tree || strings.HasPrefix(path, tree+"/") {
			return path + " belongs to the host system"
		}
	}
	for _, socket := range sockets {
		if path == "/" || path == socket || strings.HasPrefix(socket, path+"/") {
			return path + " is or contains " + socket + ", which gives root on the host"
		}
	}
	if strings.HasSuffix(path, ".sock") {
		return path + " is a socket"
	}
	return ""
}

// validateOnHost is Validate, and resolves links in the host's paths, as far as this process can: they may lead to what Validate
// rejects. Missing paths are left to the engine.
func (s Spec) validateOnHost() error {
	if err := s.Validate(); err != nil {
		return err
	}
	var errs config.Errors
	s.checkPaths(&errs, forbiddenTarget)
	return errs.Err()
}

func forbiddenTarget(path string) string {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "" // missing or not accessible
	}
	if message := forbiddenSource(target); message != "" {
		return message
	}
	if stat, err := os.Stat(target); err == nil && stat.Mode()&(os.ModeSocket|os.ModeDevice|os.ModeNamedPipe) != 0 {
		return path + " is not a file or folder"
	}
	return ""
}
