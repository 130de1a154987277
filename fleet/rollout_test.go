package fleet

import (
	"strings"
	"testing"
	"time"
)

// rolling begins a roll-out to an image.
func (w *world) startRollout(image string) {
	w.t.Helper()
	if err := w.m.deploy(testDeployment(image)); err != nil {
		w.t.Fatal(err)
	}
}

// fallen wants a roll-out to have failed, and every place to have a replica of the deployment before it.
func (w *world) expectRollback(reason string) {
	w.t.Helper()
	w.until("the roll-out has failed", time.Hour, func() bool { return w.m.failed != "" })
	if !strings.Contains(w.m.failed, reason) {
		w.t.Errorf("failed: %q, want %q", w.m.failed, reason)
	}
	w.until("the old replicas are back", 10*time.Minute, func() bool {
		for _, s := range w.m.placements {
			if s.current == nil || s.current.state != Ready || s.current.generation != 1 || s.next != nil {
				return false
			}
		}
		return true
	})
}

func TestRolloutThatGoesOnUnderAnotherSupervisorFallsBack(t *testing.T) {
	for name, c := range map[string]struct {
		fails  func(w *world)
		reason string
	}{
		"it is never ready":             {func(*world) {}, "not ready within health.start"},
		"it ends after it was adopted":  {func(w *world) { w.wait(3 * time.Second); w.crash("cpu-0", 1) }, "ended with status 1"},
		"it ends before it was adopted": {func(w *world) { w.crash("cpu-0", 1) }, "not ready within health.start"}, // that of a next try
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.cfg.Rollout.Order = OrderStopFirst
			w.restart(w.m.persistentState())
			w.ready(2)
			w.startRollout("never")
			w.until("the old one is gone and the new one runs", time.Minute, func() bool {
				r := w.m.placements[0].current
				return r != nil && r.generation == 2 && r.state == Starting
			})
			w.restart(w.m.persistentState())
			c.fails(w)
			w.expectRollback(c.reason)
		})
	}
}

func TestRolloutThatTheEngineRefusesEnds(t *testing.T) {
	for _, order := range []string{OrderStartFirst, OrderStopFirst} {
		t.Run(order, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.cfg.Rollout.Order = order
			w.restart(w.m.persistentState())
			w.ready(2)
			before := w.all()
			w.createDenied = true
			w.startRollout("v2")
			w.until("it is told why it waits", time.Minute, func() bool {
				s := w.m.status()
				return strings.Contains(s.Rollout.Reason+s.Replicas[0].Reason, "not allowed")
			})
			w.until("the roll-out has failed", time.Hour, func() bool { return w.m.failed != "" })
			if order == OrderStartFirst && (w.m.placements[0].current.container != before[0].id || len(w.m.serving()) != 2) {
				t.Errorf("the old replicas did not go on: %+v", w.m.status())
			}
			w.createDenied = false
			w.expectRollback("not allowed")
			w.startRollout("v2") // It may be tried again.
			w.until("the roll-out is complete", 5*time.Minute, func() bool { return w.m.active.Image == "v2" })
		})
	}
}
