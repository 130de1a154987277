//go:build engine

package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// folders makes a models folder and a secret that the container's user can read.
func folders(t *testing.T) (models, secret string) {
	t.Helper()
	dir := t.TempDir()
	models, secret = filepath.Join(dir, "models"), filepath.Join(dir, "token")
	err := errors.Join(os.Mkdir(models, 0o755), os.WriteFile(filepath.Join(models, "model.yaml"), []byte("a model"), 0o644),
		os.WriteFile(secret, []byte("a secret"), 0o444))
	if err != nil {
		t.Fatal(err)
	}
	return models, secret
}

func TestEngineHardening(t *testing.T) {
	c := engine(t)
	s := testSpec(t, c, testImage(t))
	models, secret := folders(t)
	s.ModelsDir, s.SecretFiles, s.Env = models, map[string]string{"token": secret}, []string{"FOVEA_X=y"}
	p := start(t, c, s)

	t.Run("the engine recorded it so", func(t *testing.T) {
		if len(p.status.Violations) > 0 {
			t.Errorf("found %q", p.status.Violations)
		}
	})
	t.Run("the kernel enforces it", func(t *testing.T) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.status.Pid)) // as the host sees it
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.Join(strings.Fields(value), " ")
		}
		const none = "0000000000000000"
		for name, want := range map[string]string{
			"Uid": "65532 65532 65532 65532", "Gid": "65532 65532 65532 65532", "Groups": "65532", "NoNewPrivs": "1", "Seccomp": "2",
			"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
		} {
			if got := fields[name]; got != want && !(name == "Groups" && got == "") {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
	t.Run("attempts from inside fail", func(t *testing.T) {
		got := get[map[string]string](t, p, "/attempts")
		const no, readOnly = "operation not permitted", "read-only file system"
		want := map[string]string{
			"write /": readOnly, "write /models": readOnly, "write /run/secrets": readOnly, "write a secret": readOnly,
			"write /tmp": "allowed", "write /dev/shm": "allowed", "execute from /tmp": "permission denied",
			"fill /tmp": "no space left on device", "become root": no, "mount": no, "remount / writable": no,
			"create a device": no, "new user namespace": no, "raw socket": no, "change the clock": no,
			"raise the file limit": no, "docker socket": "no such file or directory",
			"write /usr/local/bin": "no such file or directory", "write /etc": readOnly, "remove the server": "no such file or directory",
			"chown a file to root": no, "load a kernel module": no, "read the kernel log": no,
		}
		for name, outcome := range want {
			if got[name] != outcome {
				t.Errorf("%s: %q, want %q", name, got[name], outcome)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d attempts, want %d: %v", len(got), len(want), got)
		}
	})
	t.Run("what it is given is there", func(t *testing.T) {
		if got := p.file(t, "/models/model.yaml") + p.file(t, "/run/secrets/token"); got != "a modela secret" {
			t.Errorf("read %q", got)
		}
		env := get[map[string]string](t, p, "/env")
		if env["FOVEA_X"] != "y" || env["NVIDIA_VISIBLE_DEVICES"] != "void" {
			t.Errorf("environment %v", env)
		}
		mounts := p.file(t, "/proc/self/mounts")
		for line := range strings.Lines(mounts) {
			fields := strings.Fields(line)
			if fields[1] == TmpPath && !strings.Contains(fields[3], "nosuid,nodev,noexec") || fields[1] == ModelsPath && !strings.HasPrefix(fields[3], "ro,") {
				t.Errorf("mounted: %s", line)
			}
		}
	})
	t.Run("limits", func(t *testing.T) {
		limits := strings.Join(strings.Fields(p.file(t, "/proc/self/limits")), " ")
		for _, want := range []string{"Max open files 16384 16384", "Max core file size 0 0"} {
			if !strings.Contains(limits, want) {
				t.Errorf("no %q in %s", want, limits)
			}
		}
	})
}

func TestEngineViolationsAreFound(t *testing.T) {
	c := engine(t)
	image := testImage(t)
	s := testSpec(t, c, image)
	config, host := s.config(image, nil), s.hostConfig(nil)
	host.Privileged, host.ReadonlyRootfs, host.CapAdd = true, false, []string{"SYS_ADMIN"}
	host.SecurityOpt = append(host.SecurityOpt, "seccomp=unconfined")
	host.Binds = []string{"/var/run/docker.sock:/docker.sock"}
	id, err := c.create(context.Background(), s.Name, config, host, s.Network)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Remove(context.Background(), id); err != nil {
			t.Error(err)
		}
	}()
	found := strings.Join(inspect(t, c, id).Violations, "\n")
	for _, want := range []string{"privileged: true", "read_only: false", "cap_add: [CAP_SYS_ADMIN]", "seccomp=unconfined", "/docker.sock"} {
		if !strings.Contains(found, want) {
			t.Errorf("no %s in:\n%s", want, found)
		}
	}
}

func TestEngineUnsafeImagesAreRejected(t *testing.T) {
	c := engine(t)
	for _, test := range []struct{ name, change, key string }{
		{"loads what it likes", "ENV LD_PRELOAD=/tmp/x.so", "env: "},
		{"runs as root", "USER 0", "user: "},
		{"declares a volume", "VOLUME /data", "volumes: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := testSpec(t, c, testImage(t, test.change))
			if id, err := c.Create(context.Background(), s); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), test.key) {
				t.Errorf("got %s, %v", id, err)
			}
		})
	}
}

func TestEngineReplicasDoNotReachEachOther(t *testing.T) {
	c := engine(t)
	s := testSpec(t, c, testImage(t))
	p := start(t, c, s)
	other := s
	other.Name += "-other"
	q := start(t, c, other)
	dial := func(from, to testContainer) string {
		return get[string](t, from, "/dial?to="+to.status.Address.String()+":8000")
	}
	if got := dial(p, q); got == "allowed" {
		t.Error("a replica reached another")
	}
	if p, q := dial(p, p), dial(q, q); p != "allowed" || q != "allowed" { // so both listen
		t.Errorf("each itself: %s, %s", p, q)
	}
	// The host can, so that a supervisor on it can probe them without the published port.
	conn, err := net.DialTimeout("tcp", q.status.Address.String()+":8000", testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

func TestEnginePublishesOnLoopbackOnly(t *testing.T) {
	c := engine(t)
	p := start(t, c, testSpec(t, c, testImage(t)))
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err != nil || prefix.Addr().IsLoopback() || !prefix.Addr().Is4() {
			continue
		}
		tried++
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", prefix.Addr(), p.status.HostPort), 2*time.Second)
		if err == nil {
			_ = conn.Close()
			t.Errorf("reached on %s", prefix.Addr())
		}
	}
	if tried == 0 {
		t.Error("the host has no other address, not even the bridge's")
	}
}
