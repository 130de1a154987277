package fleet

import (
	"strings"
	"testing"
	"time"
)

// startRollout starts a rollout to an image.
func (w *world) startRollout(image string) {
	w.t.Helper()
	if err := w.m.deploy(testDeployment(image)); err != nil {
		w.t.Fatal(err)
	}
}

// expectRollback waits for the rollout to fail, and for every placement to have a replica of the previous deployment.
func (w *world) expectRollback(reason string) {
	w.t.Helper()
	w.until("the rollout has failed", time.Hour, func() bool { return w.m.failed != "" })
	if !strings.Contains(w.m.failed, reason) {
		w.t.Errorf("failed: %q, want %q", w.m.failed, reason)
	}
	w.until("the old replicas are ready", 10*time.Minute, func() bool {
		for _, s := range w.m.placements {
			if s.current == nil || s.current.state != Ready || s.current.generation != 1 || s.next != nil {
				return false
			}
		}
		return true
	})
}

func TestRolloutContinuedByAnotherSupervisorRollsBack(t *testing.T) {
	for name, c := range map[string]struct {
		fails  func(w *world)
		reason string
	}{
		"never ready":               {func(*world) {}, "not ready within health.start_timeout"},
		"exits after its adoption":  {func(w *world) { w.wait(3 * time.Second); w.crash("cpu-0", 1) }, "exited with status 1"},
		"exits before its adoption": {func(w *world) { w.crash("cpu-0", 1) }, "not ready within health.start_timeout"}, // of the next attempt
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.cfg.Rollout.Order = OrderStopFirst
			w.restart(w.m.persistentState())
			w.ready(2)
			w.startRollout("never")
			w.until("the old replica is gone and the new one is starting", time.Minute, func() bool {
				r := w.m.placements[0].current
				return r != nil && r.generation == 2 && r.state == Starting
			})
			w.restart(w.m.persistentState())
			c.fails(w)
			w.expectRollback(c.reason)
		})
	}
}

func TestRolloutFailsIfTheEngineDeniesIt(t *testing.T) {
	for _, order := range []string{OrderStartFirst, OrderStopFirst} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.cfg.Rollout.Order = order
			w.restart(w.m.persistentState())
			w.ready(2)
			before := w.all()
			w.createDenied = true
			w.startRollout("v2")
			w.until("status shows the reason", time.Minute, func() bool {
				s := w.m.status()
				return strings.Contains(s.Rollout.Reason+s.Replicas[0].Reason, "not allowed")
			})
			w.until("the rollout has failed", time.Hour, func() bool { return w.m.failed != "" })
			if order == OrderStartFirst && (w.m.placements[0].current.container != before[0].id || len(w.m.serving()) != 2) {
				t.Errorf("the old replicas do not keep running: %+v", w.m.status())
			}
			w.createDenied = false
			w.expectRollback("not allowed")
			w.startRollout("v2") // It can be retried.
			w.until("the rollout is complete", 5*time.Minute, func() bool { return w.m.active.Image == "v2" })
		})
	}
}

func TestRolloutCountsNoRestarts(t *testing.T) {
	for _, order := range []string{OrderStartFirst, OrderStopFirst} {
		w := newWorld(t, 1, 0, 2)
		w.cfg.Rollout.Order, w.cfg.Rollout.Monitor = order, time.Minute
		w.restart(w.m.persistentState())
		w.ready(2)
		started := w.now
		w.startRollout("v2")
		w.until("the rollout is complete", 5*time.Minute, func() bool { return w.m.roll == nil })
		if took := w.now - started; w.m.failed != "" || took < 2*w.cfg.Rollout.Monitor {
			t.Errorf("%s: failed %q after %s", order, w.m.failed, took)
		}
		for _, s := range w.m.placements {
			if s.restarts > 0 || s.current.generation != 2 {
				t.Errorf("%s: %s has generation %d after %d restarts", order, s.Name, s.current.generation, s.restarts)
			}
		}
	}
}
