//go:build engine

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// supervised runs a test with a supervisor that opens its own listener, and with one that inherits it.
func supervised(t *testing.T, fault string, run func(t *testing.T, b *harness, fault string)) {
	t.Helper()
	for name, inherited := range map[string]bool{"": false, ", with a systemd socket": true} {
		t.Run("inherited socket "+fmt.Sprint(inherited), func(t *testing.T) {
			t.Parallel()
			b := newHarness(t, two)
			if inherited {
				b.hold()
			}
			b.start(2)
			run(t, b, fault+name)
		})
	}
}

func TestSupervisorKilledAndReplicasAdopted(t *testing.T) {
	supervised(t, "supervisor killed with SIGKILL", func(t *testing.T, b *harness, fault string) {
		l := b.load(freshConnections)
		before := b.containers()
		start := time.Now()
		underWay := l.under.Load()
		b.stop(syscall.SIGKILL)
		gone := time.Now()
		b.start(2)
		full := time.Since(start)
		if b.listener == nil {
			gone = time.Now() // No supervisor listens meanwhile.
		}
		l.end().only(t, start, gone).figure(t, fault, full, fmt.Sprintf("%d in flight", underWay))
		if after := b.containers(); !maps.Equal(before, after) {
			t.Errorf("containers %v became %v", before, after)
		}
	})
}

func TestPlannedRestartOfTheSupervisorLosesNoRequest(t *testing.T) {
	supervised(t, "planned restart of the supervisor", func(t *testing.T, b *harness, fault string) {
		l := b.load()
		before := b.containers()
		start := time.Now()
		b.stop(syscall.SIGTERM)
		b.start(2)
		full := time.Since(start)
		o := l.end()
		if b.listener == nil {
			o.only(t, start, start.Add(full)) // No supervisor listens meanwhile.
		} else {
			o.none(t)
		}
		o.figure(t, fault, full, "")
		if after := b.containers(); !maps.Equal(before, after) {
			t.Errorf("containers %v became %v", before, after)
		}
	})
}

func TestTwoSupervisors(t *testing.T) {
	t.Parallel()
	b := newHarness(t, "replicas: 1\n")
	b.start(1)
	out, err := b.command().CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("another supervisor is running")) {
		t.Errorf("the second one: %v, %s", err, out)
	}
	if s := b.status(); s.Ready != 1 {
		t.Errorf("the first one: %+v", s)
	}
}

// fill writes to a folder until its disk is full.
func fill(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "filler")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return file
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFullDiskIsReported(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two)
	state := filepath.Join(b.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=64k"); errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a disk needs root")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(state, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	b.start(2)
	b.until("the state is saved", func(Status) bool { _, err := os.Stat(filepath.Join(state, "state.json")); return err == nil })
	file := fill(t, state)
	l := b.load(freshConnections)
	start := time.Now()
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the rollout is complete", func(s Status) bool { return s.Rollout == nil })
	full := time.Since(start)
	if s.Ready != 2 || s.Generation != 2 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "no space left on device") {
		t.Errorf("%+v", s)
	}
	killed := time.Now()
	b.stop(syscall.SIGKILL) // The saved state is older than the replicas.
	b.start(2)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	b.until("the state is saved again", func(s Status) bool { return len(s.Problems) == 0 && s.Ready == 2 && s.Rollout == nil })
	b.stop(syscall.SIGTERM)
	b.start(2)
	again := time.Now()
	l.end().only(t, killed, again).figure(t, "disk full: rollout, and supervisor killed", full, "duration of the rollout")
}

func TestContainersOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := newHarness(t, "replicas: 1")
	foreign := containerName(b.name, "cpu-0", 1)
	if out, err := exec.Command("docker", "create", "--name", foreign, testImage()).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer func() {
		if out, err := exec.Command("docker", "rm", foreign).CombinedOutput(); err != nil {
			t.Errorf("it was removed: %v: %s", err, out)
		}
	}()
	b.start(0)
	s := b.until("failed", func(s Status) bool { return s.Replicas[0].State == Failed })
	if !strings.Contains(s.Replicas[0].Reason, foreign) {
		t.Errorf("the reason does not name the container: %+v", s.Replicas[0])
	}
}

func TestNoReplicaIsReady(t *testing.T) {
	t.Parallel()
	b := newHarnessOn(t, "", fakeServer(t), "args: [unready]\n")
	b.start(0)
	b.until("starting", func(s Status) bool { return s.Replicas[0].State == Starting })
	response, err := http.Post("http://"+b.address+"/predict", "image/jpeg", strings.NewReader("an image"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s %v %s, %v", response.Status, response.Header, body, err)
	}
}
