//go:build engine

package fleet

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const two = "replicas: 2\nrollout: {monitor: 2s}\n"

// inFlight bounds the requests that one replica has at a time under the load of these tests.
const inFlight = 16

func TestReplicaKilledUnderLoadIsReplaced(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	l := b.load()
	before := b.containers()
	lost := int64(b.status().Replicas[0].InFlight) // and those that come before it is known
	t.Logf("in flight: %d", lost)
	start := time.Now()
	if err := b.engine.Kill(context.Background(), before["cpu-0"]); err != nil {
		t.Fatal(err)
	}
	b.until("another container is ready", func(s Status) bool { return s.Ready == 2 && s.Replicas[0].Restarts == 1 })
	l.end(lost+inFlight, time.Since(start))
	if after := b.containers(); after["cpu-0"] == before["cpu-0"] || after["cpu-1"] != before["cpu-1"] {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestSupervisorKilledIsFollowedByOneThatAdopts(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	l := b.load()
	before := b.containers()
	start := time.Now()
	b.stop(syscall.SIGKILL)
	b.start(2)
	l.end(inFlight, time.Since(start))
	if after := b.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestPlannedRestartOfTheSupervisorLosesNoRequest(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	l := b.load()
	before := b.containers()
	start := time.Now()
	b.stop(syscall.SIGTERM)
	b.start(2)
	l.end(0, time.Since(start))
	if after := b.containers(); !maps.Equal(before, after) {
		t.Errorf("containers %v became %v", before, after)
	}
}

func TestRolloutLosesNoRequest(t *testing.T) {
	for _, order := range []string{OrderStartFirst, OrderStopFirst} {
		t.Run(order, func(t *testing.T) {
			b := newBench(t, "replicas: 2\nrollout: {monitor: 1s, order: "+order+"}\n")
			b.start(2)
			l := b.load()
			start := time.Now()
			if _, err := b.client.Rollout(context.Background()); err != nil {
				t.Fatal(err)
			}
			s := b.until("the roll-out is over", func(s Status) bool { return s.Rollout == nil })
			l.end(0, time.Since(start))
			if s.Generation != 2 || s.Ready != 2 || s.Replicas[0].Name != "cpu-0.2" || s.Replicas[1].Name != "cpu-1.2" {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestRolloutOfWhatCannotStartKeepsTheOldReplicas(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	before := b.containers()
	l := b.load()
	start := time.Now()
	b.configure(two + "args: [--inference.device=cuda]\n")
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the roll-out failed", func(s Status) bool { return s.Rollout != nil && s.Rollout.Failed != "" })
	l.end(0, time.Since(start))
	if s.Ready != 2 || !maps.Equal(before, b.containers()) {
		t.Errorf("%+v", s)
	}
	if log := strings.Join(s.Rollout.Log, "\n"); !strings.Contains(log, "libonnxruntime_providers_cuda.so") {
		t.Errorf("the last lines do not say why: %q", log)
	}
	b.stop(syscall.SIGTERM)
	b.start(2) // and does not try again by itself
	if s := b.status(); s.Rollout == nil || s.Rollout.Failed == "" || !maps.Equal(before, b.containers()) {
		t.Errorf("after a restart: %+v", s)
	}
}

func TestTwoSupervisors(t *testing.T) {
	b := newBench(t, "replicas: 1")
	b.start(1)
	second := exec.Command(os.Args[0])
	second.Env = append(os.Environ(), childFile+"="+b.file)
	second.ExtraFiles = []*os.File{b.listener}
	out, err := second.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("another supervisor is running")) {
		t.Errorf("the second one: %v, %s", err, out)
	}
	if s := b.status(); s.Ready != 1 {
		t.Errorf("the first one: %+v", s)
	}
}

func TestContainersOfOthersAreLeftAlone(t *testing.T) {
	b := newBench(t, "replicas: 1")
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
	s := b.until("the replica failed", func(s Status) bool { return s.Replicas[0].State == Failed })
	if !strings.Contains(s.Replicas[0].Reason, foreign) {
		t.Errorf("the reason does not name it: %+v", s.Replicas[0])
	}
}

func TestStateThatCannotBeKeptIsShownAndStopsNothing(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	state := filepath.Join(b.dir, "state")
	if err := os.Rename(state, state+".away"); err != nil {
		t.Fatal(err)
	}
	l := b.load()
	start := time.Now()
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the roll-out is over", func(s Status) bool { return s.Rollout == nil })
	l.end(0, time.Since(start))
	if s.Ready != 2 || len(s.Problems) != 1 || !strings.HasPrefix(s.Problems[0], "state: ") {
		t.Errorf("%+v", s)
	}
	if err := os.Rename(state+".away", state); err != nil {
		t.Fatal(err)
	}
	b.until("the state is kept again", func(s Status) bool { return len(s.Problems) == 0 })
}

func TestDownStopsEverything(t *testing.T) {
	b := newBench(t, two)
	b.start(2)
	if _, err := b.client.Down(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-b.ended:
		if err != nil {
			t.Errorf("the supervisor ended with %v", err)
		}
		b.child = nil
	case <-time.After(patience):
		t.Fatal("the supervisor does not end")
	}
	if left := b.containers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
