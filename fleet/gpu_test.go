package fleet

import (
	"context"
	"strings"
	"testing"
	"time"

	"fovea/gpu"
)

// loseGPUs makes the containers report that they cannot access their GPU, ready or not.
func (w *world) loseGPUs(ready bool) {
	for _, b := range w.all() {
		b.lost, b.unready = true, !ready
	}
}

// ready waits until a number of replicas are serving.
func (w *world) ready(replicas int) {
	w.t.Helper()
	w.until("ready", time.Minute, func() bool { return len(w.m.serving()) == replicas })
}

func TestReplicaThatLostAHealthyGPUIsReplaced(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.ready(1)
	before := w.m.placements[0].current.container
	w.loseGPUs(false)
	w.until("replaced", w.cfg.Health.Unready/2, func() bool {
		r := w.m.placements[0].current
		return r != nil && r.container != before && r.state == Ready
	})
	if s := w.m.placements[0]; !strings.Contains(s.reason, "lost access to its GPU") || len(s.failures) != 1 || s.restarts != 1 {
		t.Errorf("reason %q, %d failures, %d restarts", s.reason, len(s.failures), s.restarts)
	}
	if w.m.gpus["GPU-0"].Quarantined {
		t.Error("the GPU is quarantined")
	}
}

func TestRepeatedlyLostGPUIsFinal(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.ready(1)
	for end := w.now + time.Hour; w.now < end && !w.m.placements[0].failed; {
		w.loseGPUs(false)
		w.wait(100 * time.Millisecond)
	}
	if s := w.m.placements[0]; !s.failed || len(s.failures) != w.cfg.Restart.Failures+1 {
		t.Errorf("failed permanently: %v, after %d failures", s.failed, len(s.failures))
	}
}

func TestReadyReplicasThatLostTheirGPUAreReplacedOneByOne(t *testing.T) {
	w := newWorld(t, 1, 3, 1)
	w.ready(3)
	before := map[string]bool{}
	for _, b := range w.all() {
		before[b.id] = true
	}
	w.loseGPUs(true)
	fewest := 3
	w.until("all are replaced", 2*time.Minute, func() bool {
		serving := w.m.serving()
		fewest = min(fewest, len(serving))
		for _, r := range serving {
			if before[r.container] {
				return false
			}
		}
		return len(serving) == 3
	})
	if len(w.drains) != 3 {
		t.Errorf("%d of 3 were drained", len(w.drains))
	}
	if fewest != 2 {
		t.Errorf("%d of 3 were serving meanwhile", fewest)
	}
}

func TestReplicaThatLostAnUnhealthyGPUWaits(t *testing.T) {
	for name, c := range map[string]struct {
		device    gpu.Device
		err       error
		placement Placement
		state     State
	}{
		"faulty GPU":            {device: gpu.Device{Err: gpu.ErrLost}, state: Quarantined},
		"driver not responding": {err: gpu.ErrNotAnswering, state: Unready},
		"MIG instance gone":     {device: gpu.Device{MIG: true}, placement: Placement{"gpu0m0-0", "MIG-0", "GPU-0"}, state: Unready},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, 1)
			if c.placement.Name != "" {
				w.placements = []Placement{c.placement}
				w.restart(w.m.persistentState())
			}
			w.ready(1)
			w.loseGPUs(false)
			w.gpus = nil // From here on the driver reports what follows.
			o := inventory{err: c.err}
			if c.err == nil {
				c.device.UUID = "GPU-0"
				o.devices = []gpu.Device{c.device}
			}
			for range 100 {
				o.since = w.now
				w.queue = append(w.queue, pending{w.now, o})
				w.wait(100 * time.Millisecond)
			}
			if got := w.state(0); got != c.state {
				t.Errorf("state %s, want %s", got, c.state)
			}
		})
	}
}

func TestQuarantineEndsAfterConsecutiveProbes(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.ready(1)
	g, placement := w.m.gpus["GPU-0"], w.m.placements[0]
	for i, c := range []struct {
		err         error
		quarantined bool
	}{
		{context.DeadlineExceeded, false}, {context.Canceled, false}, // They say nothing about the GPU.
		{gpu.ErrLost, true}, {nil, true}, {nil, true}, {gpu.ErrLost, true}, {nil, true}, {nil, true}, {nil, false},
	} {
		w.m.dirty, placement.failed = false, true
		before := g.Quarantined
		w.now++
		w.m.step(w.now, inventory{since: w.now, wall: time.Unix(1, 0), devices: []gpu.Device{{UUID: "GPU-0", Err: c.err}}})
		if g.Quarantined != c.quarantined {
			t.Fatalf("probe %d: quarantined %v", i, g.Quarantined)
		}
		if changed := before != g.Quarantined; w.m.dirty != changed {
			t.Errorf("probe %d: to be saved %v", i, w.m.dirty)
		}
		if released := before && !g.Quarantined; placement.failed == released {
			t.Errorf("probe %d: the replica has failed: %v", i, placement.failed)
		}
	}
}

func TestManualQuarantineNeedsResume(t *testing.T) {
	w := newWorld(t, 1, 1, 1)
	w.ready(1)
	g := w.m.gpus["GPU-0"]
	for _, e := range []gpu.Event{
		{Kind: gpu.KindXID, UUID: "GPU-0", XID: 48, Class: gpu.ClassReset}, // no recovery action is known
		{Kind: gpu.KindLost, UUID: "GPU-0", Class: gpu.ClassOut, ByDriver: true},
	} {
		w.m.step(w.now, gpuEvent{e, time.Unix(1, 0)})
	}
	for range 2 * w.cfg.GPU.Probes {
		w.now++
		w.m.step(w.now, inventory{since: w.now, devices: []gpu.Device{{UUID: "GPU-0"}}})
	}
	if !g.Quarantined || !g.Manual {
		t.Fatalf("quarantined %v, manual %v", g.Quarantined, g.Manual)
	}
	w.m.dirty = false
	if err := w.m.drainGPU("GPU-0"); err != nil || !w.m.dirty {
		t.Errorf("%v; to be saved %v", err, w.m.dirty)
	}
	w.m.dirty = false
	if err := w.m.resume("GPU-0"); err != nil || g.blocked() || !w.m.dirty {
		t.Errorf("%v; out of use %v; to be saved %v", err, g.blocked(), w.m.dirty)
	}
}
