//go:build engine

package fleet

import (
	"context"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"
)

const two = "replicas: 2\nrollout: {monitor: 2s}\n"

func TestRolloutLosesNoRequest(t *testing.T) {
	for _, order := range []string{OrderStartFirst, OrderStopFirst} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			b := newHarness(t, "replicas: 2\nrollout: {monitor: 1s, order: "+order+"}\n")
			b.start(2)
			l := b.load()
			start := time.Now()
			if _, err := b.client.Rollout(context.Background()); err != nil {
				t.Fatal(err)
			}
			s := b.until("the rollout is complete", func(s Status) bool { return s.Rollout == nil })
			full := time.Since(start)
			l.end().none(t).figure(t, "rollout, "+order, full, "duration of the rollout of two replicas")
			if s.Generation != 2 || s.Ready != 2 || s.Replicas[0].Name != "cpu-0.2" || s.Replicas[1].Name != "cpu-1.2" {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestFailedRolloutKeepsTheOldReplicas(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two)
	b.start(2)
	before := b.containers()
	l := b.load()
	start := time.Now()
	b.configure(two + "args: [--inference.device=cuda]\n")
	if _, err := b.client.Rollout(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := b.until("the rollout has failed", func(s Status) bool { return s.Rollout != nil && s.Rollout.Failed != "" })
	full := time.Since(start)
	l.end().none(t).figure(t, "rollout that cannot start", full, "until it failed")
	if s.Ready != 2 || !maps.Equal(before, b.containers()) {
		t.Errorf("%+v", s)
	}
	if log := strings.Join(s.Rollout.Log, "\n"); !strings.Contains(log, "libonnxruntime_providers_cuda.so") {
		t.Errorf("the last lines do not say why: %q", log)
	}
	b.stop(syscall.SIGTERM)
	b.start(2) // It is not retried.
	if s := b.status(); s.Rollout == nil || s.Rollout.Failed == "" || !maps.Equal(before, b.containers()) {
		t.Errorf("after a restart: %+v", s)
	}
}

func TestDownStopsEverything(t *testing.T) {
	t.Parallel()
	b := newHarness(t, two)
	b.start(2)
	if _, err := b.client.Down(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := b.exited(); err != nil {
		t.Errorf("the supervisor exited with %v", err)
	}
	if left := b.containers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := b.engine.EnsureNetwork(context.Background(), b.name, "another fleet"); err != nil {
		t.Errorf("the network is left: %v", err)
	}
	if err := b.engine.RemoveNetwork(context.Background(), b.name, "another fleet"); err != nil {
		t.Error(err)
	}
}
