package fleet

import (
	"strings"
	"testing"
	"time"

	"fovea/fleet/gateway"
)

// TestConsecutiveFailures: three failures in a row count, and a success in between starts over.
func TestConsecutiveFailures(t *testing.T) {
	health := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return probed{seq: r.seq, health: v, ready: good} }
	}
	ready := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return probed{seq: r.seq, health: good, ready: v} }
	}
	canary := func(v verdict) func(*replica) observation {
		return func(r *replica) observation { return predicted{r.seq, v, "reason"} }
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

// TestCanaryFailuresStartOverWhenReady: failures from before a replica was unready do not count.
func TestCanaryFailuresStartOverWhenReady(t *testing.T) {
	for failure, name := range map[verdict]string{bad: "bad", late: "late"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.ready(2)
			r := w.m.placements[0].current
			fail := func(times int) {
				for range times {
					w.now += w.cfg.Health.Canary
					w.m.step(w.now) // sends a canary
					w.m.step(w.now, predicted{r.seq, failure, "reason"})
				}
			}
			fail(w.cfg.Health.Failures - 1)
			w.m.step(w.now, probed{seq: r.seq, health: good, ready: bad})
			w.m.step(w.now, probed{seq: r.seq, health: good, ready: good})
			fail(w.cfg.Health.Failures - 1)
			if r.cause != notEnding {
				t.Fatalf("ended: %s", r.reason)
			}
			if fail(1); r.cause != endFailure {
				t.Errorf("%s after %d failures in a row", r.state, w.cfg.Health.Failures)
			}
		})
	}
}

func TestUnresponsiveReplicaHasItsTimeToStart(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	never := testDeployment("never")
	w.restart(persistentState{Active: &never})
	w.until("starting", time.Minute, func() bool { return w.state(0) == Starting })
	w.all()[0].unresponsive = true
	r := w.m.placements[0].current
	w.wait(w.cfg.Health.StartTimeout - 5*time.Second)
	if r.state != Starting {
		t.Fatalf("%s: %s", r.state, r.reason)
	}
	w.until("failed", 10*time.Second, func() bool { return len(w.m.placements[0].failures) == 1 })
}

func TestProbeIntervals(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	r := w.m.placements[0].current
	for ready, want := range map[verdict]time.Duration{good: w.cfg.Health.Interval, bad: fastProbeInterval} {
		w.m.step(w.now, probed{seq: r.seq, health: good, ready: good})
		w.m.step(w.now, probed{seq: r.seq, health: good, ready: ready})
		w.m.step(w.now, probed{seq: r.seq, health: good, ready: ready})
		if got := r.probeDue - w.m.now; got != want {
			t.Errorf("%s: next probe after %s, want %s", r.state, got, want)
		}
	}
}

// outliers feeds the gateway's counters of two replicas to the state machine.
func outliers(w *world, counters ...gateway.Status) {
	o := traffic{}
	for i, s := range counters {
		r := w.m.placements[i].current
		s.ID, s.URL = r.id, r.url
		o.replicas = append(o.replicas, s)
	}
	w.m.step(w.now, o)
}

func TestOutlierFailsTwentyRequestsWhileOthersSucceed(t *testing.T) {
	for name, c := range map[string]struct {
		steps []gateway.Status // of the first replica; the second succeeds
		dead  bool
	}{
		"19 failures":                  {[]gateway.Status{{Good: 5}, {Good: 5, Bad: 19}}, false},
		"20 failures":                  {[]gateway.Status{{Good: 5}, {Good: 5, Bad: 20}}, true},
		"20 failures in two steps":     {[]gateway.Status{{Good: 5}, {Good: 5, Bad: 10}, {Good: 5, Bad: 20}}, true},
		"a success between":            {[]gateway.Status{{Good: 5}, {Good: 5, Bad: 19}, {Good: 6, Bad: 19}, {Good: 6, Bad: 20}}, false},
		"the gateway's counters reset": {[]gateway.Status{{Good: 100, Bad: 30}, {Bad: 10}, {Bad: 20}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.ready(2)
			for i, s := range c.steps {
				w.now++
				outliers(w, s, gateway.Status{Good: int64(i * 100)})
			}
			w.now++
			outliers(w, c.steps[len(c.steps)-1], gateway.Status{Good: 1000}) // no request of the first
			if got := w.m.placements[0].current.cause == endFailure; got != c.dead {
				t.Errorf("dead: %v; %+v", got, w.m.placements[0].current.record)
			}
		})
	}
}

func TestOutlierIsFoundAfterAnotherReplicaIsGone(t *testing.T) {
	w := newWorld(t, 1, 0, 3)
	w.ready(3)
	outliers(w, gateway.Status{}, gateway.Status{Good: 1000}, gateway.Status{})
	outliers(w, gateway.Status{Bad: 10}, gateway.Status{Good: 1000}, gateway.Status{})
	gone := w.all()[1]
	gone.end(137)
	w.now++
	w.m.step(w.now, seen{gone.container})
	for good := int64(0); good <= 100; good += 50 {
		outliers(w, gateway.Status{Bad: 10 + good}, gateway.Status{}, gateway.Status{Good: good})
	}
	outliers(w, gateway.Status{Bad: 200}, gateway.Status{}, gateway.Status{Good: 100})
	if r := w.m.placements[0].current; r.cause != endFailure {
		t.Errorf("not dead: %+v", r.record)
	}
}

func TestUnresponsiveBackendIsUnreadyIfThereIsAnother(t *testing.T) {
	for replicas, want := range map[int]State{1: Ready, 2: Unready} {
		w := newWorld(t, 1, 0, replicas)
		w.ready(replicas)
		outliers(w, gateway.Status{State: gateway.Unresponsive})
		if got := w.state(0); got != want {
			t.Errorf("of %d: %s, want %s", replicas, got, want)
		}
	}
}

func TestLightLoadMustHoldForAllFailedCanaries(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	r := w.m.placements[0].current
	for i, inFlight := range []int{50, 0, 0} {
		outliers(w, gateway.Status{InFlight: inFlight})
		w.now += w.cfg.Health.Canary
		w.m.step(w.now) // sends a canary
		w.m.step(w.now, predicted{r.seq, late, "reason"})
		if r.cause != notEnding {
			t.Fatalf("dead after canary %d: %s", i, r.reason)
		}
	}
	if r.canaryDue-w.now != w.cfg.Health.Interval {
		t.Errorf("next canary after %s", r.canaryDue-w.now)
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
