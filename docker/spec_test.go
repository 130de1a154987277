package docker

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestValidateNamesTheKeyOfEveryMistake(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Spec)
		key    string
		weak   bool
	}{
		{"no name", func(s *Spec) { s.Name = "" }, "name", false},
		{"a name that is a path", func(s *Spec) { s.Name = "../x" }, "name", false},
		{"no image", func(s *Spec) { s.Image = "" }, "image", false},
		{"an image that is an option", func(s *Spec) { s.Image = "--privileged" }, "image", false},
		{"an image that is another request", func(s *Spec) { s.Image = "x/../../containers/y" }, "image", false},
		{"an image with a query", func(s *Spec) { s.Image = "x?y=z" }, "image", false},
		{"no owner", func(s *Spec) { delete(s.Labels, LabelOwner) }, "labels", false},
		{"no replica", func(s *Spec) { delete(s.Labels, LabelReplica) }, "labels", false},
		{"a hash of the caller's own", func(s *Spec) { s.Labels[LabelHash] = "x" }, "labels", false},
		{"root", func(s *Spec) { s.UID = 0 }, "uid", true},
		{"the group root", func(s *Spec) { s.GID = 0 }, "gid", true},
		{"a negative user", func(s *Spec) { s.UID = -1 }, "uid", false},
		{"no memory limit", func(s *Spec) { s.Memory = 0 }, "memory", false},
		{"unlimited memory", func(s *Spec) { s.Memory = -1 }, "memory", false},
		{"no CPU limit", func(s *Spec) { s.CPUs = 0 }, "cpus", false},
		{"a CPU limit that is no number", func(s *Spec) { s.CPUs = math.NaN() }, "cpus", false},
		{"an infinite CPU limit", func(s *Spec) { s.CPUs = math.Inf(1) }, "cpus", false},
		{"unlimited processes", func(s *Spec) { s.Pids = -1 }, "pids", false},
		{"no limit of processes", func(s *Spec) { s.Pids = 0 }, "pids", false},
		{"unlimited files", func(s *Spec) { s.NoFile = -1 }, "nofile", false},
		{"an unbounded tmpfs", func(s *Spec) { s.TmpfsSize = 0 }, "tmpfs_size", false},
		{"a tmpfs larger than the memory", func(s *Spec) { s.TmpfsSize = s.Memory + 1 }, "tmpfs_size", false},
		{"no shared memory", func(s *Spec) { s.ShmSize = 0 }, "shm_size", false},
		{"a port that is none", func(s *Spec) { s.HostPort = 65536 }, "host_port", false},
		{"no port", func(s *Spec) { s.ContainerPort = 0 }, "container_port", false},
		{"a log driver that keeps nothing", func(s *Spec) { s.LogDriver = "none" }, "log_driver", false},
		{"logs that grow without limit", func(s *Spec) { s.LogMaxSize = 0 }, "log_max_size", false},
		{"no log files", func(s *Spec) { s.LogMaxFiles = 0 }, "log_max_files", false},
		{"no grace", func(s *Spec) { s.StopGrace = 0 }, "stop_grace", false},
		{"a day's grace", func(s *Spec) { s.StopGrace = 24 * time.Hour }, "stop_grace", false},
		{"a variable without a value", func(s *Spec) { s.Env = []string{"A=1", "B"} }, "env.B", false},
		{"a variable twice", func(s *Spec) { s.Env = []string{"A=1", "A=2"} }, "env.A", false},
		{"LD_PRELOAD", func(s *Spec) { s.Env = []string{"LD_PRELOAD=/tmp/x.so"} }, "env.LD_PRELOAD", true},
		{"LD_LIBRARY_PATH, empty", func(s *Spec) { s.Env = []string{"LD_LIBRARY_PATH="} }, "env.LD_LIBRARY_PATH", true},
		{"ld_audit", func(s *Spec) { s.Env = []string{"ld_audit=x"} }, "env.ld_audit", true},
		{"GLIBC_TUNABLES", func(s *Spec) { s.Env = []string{"GLIBC_TUNABLES=x"} }, "env.GLIBC_TUNABLES", true},
		{"all GPUs by a variable", func(s *Spec) { s.Env = []string{"NVIDIA_VISIBLE_DEVICES=all"} }, "env.NVIDIA_VISIBLE_DEVICES", true},
		{"other GPUs by a variable", func(s *Spec) { s.Env = []string{"CUDA_VISIBLE_DEVICES=1"} }, "env.CUDA_VISIBLE_DEVICES", true},
		{"a secret by a variable", func(s *Spec) { s.Env = []string{"FOVEA_HTTP_TOKEN=x"} }, "env.FOVEA_HTTP_TOKEN", true},
		{"a network of the host", func(s *Spec) { s.Network = "host" }, "network", true},
		{"another container's network", func(s *Spec) { s.Network = "container:abc" }, "network", true},
		{"the shared bridge", func(s *Spec) { s.Network = "bridge" }, "network", true},
		{"no network", func(s *Spec) { s.Network = "" }, "network", true},
		{"the whole host as models", func(s *Spec) { s.ModelsDir = "/" }, "models_dir", true},
		{"the folder of the socket as models", func(s *Spec) { s.ModelsDir = "/run" }, "models_dir", true},
		{"processes of the host as models", func(s *Spec) { s.ModelsDir = "/proc/1/root" }, "models_dir", true},
		{"a relative models folder", func(s *Spec) { s.ModelsDir = "models" }, "models_dir", true},
		{"a models folder by a detour", func(s *Spec) { s.ModelsDir = "/srv/../run" }, "models_dir", true},
		{"the engine's socket as a secret", func(s *Spec) { s.SecretFiles = map[string]string{"s": "/var/run/docker.sock"} }, "secret_files.s", true},
		{"containerd's socket as a secret", func(s *Spec) { s.SecretFiles = map[string]string{"s": "/run/containerd/containerd.sock"} }, "secret_files.s", true},
		{"a rootless engine's socket as a secret", func(s *Spec) { s.SecretFiles = map[string]string{"s": "/run/user/1000/docker.sock"} }, "secret_files.s", true},
		{"a secret that leaves its folder", func(s *Spec) { s.SecretFiles = map[string]string{"../etc/passwd": "/srv/x"} }, "secret_files", false},
		{"a GPU by its index", func(s *Spec) { s.GPU.UUIDs = []string{"0"} }, "gpu.uuids[0]", false},
		{"all GPUs", func(s *Spec) { s.GPU.UUIDs = []string{"all"} }, "gpu.uuids[0]", false},
		{"a GPU twice", func(s *Spec) { s.GPU.UUIDs = []string{gpu0, gpu0} }, "gpu.uuids[1]", false},
		{"an unknown GPU driver", func(s *Spec) { s.GPU.Driver = "amd" }, "gpu.driver", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := valid()
			test.change(&s)
			err := s.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), test.key+": ") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %v, want one mistake of %s", err, test.key)
			}
			if errors.Is(err, ErrUnsafe) != test.weak {
				t.Errorf("weakens: %t, want %t: %v", !test.weak, test.weak, err)
			}
		})
	}
}

func TestValidateTellsAllMistakesAtOnce(t *testing.T) {
	err := Spec{}.Validate()
	for _, key := range []string{"name: ", "image: ", "labels: ", "uid: ", "gid: ", "memory: ", "cpus: ", "pids: ", "network: ", "stop_grace: "} {
		if !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("nothing of %s", key)
		}
	}
}

func TestValidateAllowsWhatIsMeant(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"the defaults":                    func(*Spec) {},
		"an image by digest":              func(s *Spec) { s.Image = "registry:5000/a/b@sha256:" + strings.Repeat("0", 64) },
		"GPUs and MIG instances by UUID":  func(s *Spec) { s.GPU.UUIDs = []string{gpu0, "MIG-" + gpu3[4:]} },
		"settings, and a secret's place":  func(s *Spec) { s.Env = []string{"FOVEA_HTTP_TOKEN_FILE=/run/secrets/token", "A=", "b=x=y"} },
		"a secret in a folder under /run": func(s *Spec) { s.SecretFiles = map[string]string{"token": "/run/fovea/token"} },
		"models in a home":                func(s *Spec) { s.ModelsDir = "/home/me/models" },
	} {
		s := valid()
		change(&s)
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestASecretsValueIsNotInTheMessage(t *testing.T) {
	s := valid()
	s.Env = []string{"DB_PASSWORD=hunter2", "hunter3 = x", "A=1"}
	if text := s.Validate().Error(); strings.Contains(text, "hunter2") {
		t.Errorf("got %s", text)
	}
}

func TestSourcesAreRefusedByWhereTheyLead(t *testing.T) {
	dir := t.TempDir()
	for name, target := range map[string]string{"models": "/proc", "token": "/etc/passwd"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := valid()
	s.ModelsDir, s.SecretFiles = dir+"/models", map[string]string{"token": dir + "/token"}
	if err := s.Validate(); err != nil {
		t.Fatalf("by their names: %v", err)
	}
	// It is refused before anything is asked of the engine, which has no route for it.
	_, err := script{}.open(t).Create(context.Background(), s)
	if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "models_dir: ") || !strings.Contains(err.Error(), "secret_files.token: ") {
		t.Errorf("got %v", err)
	}
}

// Every field but who a container is must change the hash, also one that is added later.
func TestHashCoversEveryField(t *testing.T) {
	want := map[string]bool{"Name": false, "Labels": false}
	base := valid().Hash()
	for i := range reflect.TypeFor[Spec]().NumField() {
		s := valid()
		field, name := reflect.ValueOf(&s).Elem().Field(i), reflect.TypeFor[Spec]().Field(i).Name
		switch value := field.Addr().Interface().(type) {
		case *string:
			*value += "x"
		case *int:
			*value++
		case *int64:
			*value++
		case *float64:
			*value += 0.001
		case *bool:
			*value = !*value
		case *time.Duration:
			*value++
		case *[]string:
			*value = append(*value, "x")
		case *map[string]string:
			*value = map[string]string{"x": "y"}
		case *GPURequest:
			value.UUIDs = []string{gpu0}
		default:
			t.Fatalf("the test does not know %s", name)
		}
		matters, exempt := want[name]
		if changed := s.Hash() != base; changed != (matters || !exempt) {
			t.Errorf("%s: the hash changes: %t", name, changed)
		}
	}
	driver := valid()
	driver.GPU.Driver = "cdi"
	if driver.Hash() == base {
		t.Error("GPU.Driver does not change the hash")
	}
}

func TestHashIsTheSameForTheSameContainer(t *testing.T) {
	empty := valid()
	empty.Args, empty.Env, empty.SecretFiles, empty.GPU.UUIDs = []string{}, []string{}, map[string]string{}, []string{}
	if empty.Hash() != valid().Hash() {
		t.Error("nil and empty differ")
	}
	odd := valid()
	odd.CPUs = math.NaN()
	if odd.Hash() == "" { // And no panic.
		t.Error("no hash")
	}
	// A supervisor that is updated finds its containers by this: if it changes, so must `hardening`, on purpose.
	if got := valid().Hash(); got != goldenHash {
		t.Errorf("the hash of the same specification is %s now, and was %s", got, goldenHash)
	}
}

const goldenHash = "cde1e6b7c2c5358c42029374792a4163"
