package fleet

import (
	"strings"
	"testing"
	"time"
)

// TestConsecutiveFailures: three failures in a row count, and a success in between starts over.
func TestConsecutiveFailures(t *testing.T) {
	health := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return probed{instanceID: r.instanceID, health: v, ready: good} }
	}
	ready := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return probed{instanceID: r.instanceID, health: good, ready: v} }
	}
	canary := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return predicted{r.instanceID, v, "reason"} }
	}
	for name, c := range map[string]struct {
		fail, succeed func(*replica) observation
		failed        func(*replica) bool
	}{
		"/health fails":           {health(bad), health(good), func(r *replica) bool { return r.cause == endFailure }},
		"/health does not answer": {health(inconclusive), health(good), func(r *replica) bool { return r.cause == endFailure }},
		"/ready does not answer":  {ready(inconclusive), ready(good), func(r *replica) bool { return r.state == Unready }},
		"canary fails":            {canary(bad), canary(good), func(r *replica) bool { return r.cause == endFailure }},
		"canary times out":        {canary(late), canary(good), func(r *replica) bool { return r.cause == endFailure }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.ready(2)
			r := w.m.placements[0].current
			for i, o := range []func(*replica) observation{c.fail, c.fail, c.succeed, c.fail, c.fail, c.fail} {
				if c.failed(r) {
					t.Fatalf("failed before step %d: %s", i, r.reason)
				}
				w.now += w.cfg.Health.Canary
				w.m.step(w.now) // sends a canary
				w.now += time.Second
				w.m.step(w.now, o(r))
			}
			if !c.failed(r) {
				t.Errorf("%s after three failures in a row", r.state)
			}
		})
	}
}

func TestUnresponsiveReplicaHasItsTimeToStart(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	never := testDeployment("never")
	w.restart(persistentState{Active: &never})
	w.until("starting", time.Minute, func() bool { return w.state(0) == Starting })
	for _, b := range w.all() {
		b.unresponsive = true
	}
	w.wait(w.cfg.Health.Start - 5*time.Second)
	if w.state(0) != Starting {
		t.Fatalf("%s: %s", w.state(0), w.m.placements[0].reason)
	}
	w.until("failed", 10*time.Second, func() bool { return len(w.m.placements[0].failures) == 1 })
}

func TestProbeIntervals(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	r := w.m.placements[0].current
	for ready, want := range map[verdict]time.Duration{good: w.cfg.Health.Interval, bad: fastProbeInterval} {
		w.m.step(w.now, probed{instanceID: r.instanceID, health: good, ready: good})
		w.m.step(w.now, probed{instanceID: r.instanceID, health: good, ready: ready})
		w.m.step(w.now, probed{instanceID: r.instanceID, health: good, ready: ready})
		if got := r.probeDue - w.m.now; got != want {
			t.Errorf("%s: next probe after %s, want %s", r.state, got, want)
		}
	}
}

func TestRolloutRestartsAFailedReplica(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	bad := testDeployment("bad")
	w.restart(persistentState{Active: &bad})
	w.until("failed", 10*time.Minute, func() bool { return w.state(0) == Failed })
	if s := w.m.placements[0]; !strings.Contains(s.reason, "78") {
		t.Errorf("reason %q", s.reason)
	}
	w.startRollout("v2")
	w.until("the rollout is complete", time.Minute, func() bool { return w.m.roll == nil })
	if w.state(0) != Ready || w.m.failed != "" {
		t.Errorf("%s, rollout %q", w.state(0), w.m.failed)
	}
}
