package fleet

import (
	"fmt"
	"testing"
	"time"

	"fovea/gpu"
)

// injectFaults changes the world at random.
func (w *world) injectFaults() {
	for _, b := range w.all() {
		if !w.chance(0.3) {
			continue
		}
		switch w.rand.IntN(11) {
		case 10:
			b.slow = !b.slow
		case 0, 1:
			b.end(137)
			if w.chance(0.7) { // otherwise the event is lost
				w.later(time.Second, seen{b.container})
			}
		case 2:
			delete(w.containers, b.id) // removed externally
		case 3:
			b.unhealthy = !b.unhealthy
		case 4:
			b.unresponsive = !b.unresponsive
		case 5:
			b.unready = !b.unready
		case 6:
			b.canaryFails = !b.canaryFails
		case 7:
			b.unstoppable = !b.unstoppable
		case 8:
			b.lost = len(w.gpus) > 0
		case 9:
			if b.readyAt == never {
				continue
			}
			b.readyAt = w.now + time.Duration(w.rand.Int64N(int64(time.Minute)))
		}
	}
	switch w.rand.IntN(9) {
	case 8:
		w.load, w.successShare = w.rand.Float64()*20, w.rand.Float64()
	case 0:
		w.engineDown = !w.engineDown
	case 1, 2:
		if len(w.gpus) > 0 {
			w.injectGPUFault(w.gpus[w.rand.IntN(len(w.gpus))])
		}
	case 3:
		_ = w.m.deploy(testDeployment([]string{"v2", "v3", "bad", "never"}[w.rand.IntN(4)])) // rejected during a rollout
	case 4:
		w.restart(w.m.persistentState())
	case 5:
		w.m.requestList()
	case 6:
		w.createDenied = !w.createDenied
	}
}

func (w *world) injectGPUFault(uuid string) {
	w.faultyGPUs[uuid] = !w.faultyGPUs[uuid]
	e := gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 79, Class: gpu.ClassOutOfService, ByDriver: true}
	switch w.rand.IntN(4) {
	case 0:
		e = gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 48, Class: gpu.ClassReset} // no recovery action is known
	case 1:
		e = gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 31, Class: gpu.ClassApplication}
	case 2:
		_ = w.m.drainGPU(uuid) // The GPU belongs to the fleet.
	}
	w.later(time.Second, gpuEvent{e, time.Unix(1, 0)})
}

// heal ends all faults.
func (w *world) heal() {
	w.engineDown, w.createDenied, w.successShare = false, false, 1
	clear(w.faultyGPUs)
	for _, b := range w.containers {
		b.unhealthy, b.unresponsive, b.unready, b.canaryFails, b.unstoppable, b.lost, b.slow = false, false, false, false, false, false, false
		if b.readyAt != never {
			b.readyAt = min(b.readyAt, w.now+time.Second)
		}
	}
}

// converged describes what is not as it should be.
func (w *world) converged() string {
	for _, s := range w.m.placements {
		if s.current == nil || s.current.state != Ready || s.next != nil {
			return fmt.Sprintf("%s is %s: %s", s.Name, s.displayState(), s.reason)
		}
		if s.current.deployment != s.deployment && w.m.failed != "" {
			continue // It was adopted after a failed rollout, and stays until its end or the next rollout.
		}
		if b := w.at(s.current.url); b == nil || b.hash != s.deployment.hash(w.cfg.Name, s.Placement) {
			return fmt.Sprintf("%s is of generation %d, not %d; failed %q; active %+v; target %+v", s.Name, s.current.generation, s.deployment.Generation, w.m.failed, w.m.active.Generation, w.m.target)
		}
	}
	switch {
	case w.m.roll != nil:
		return fmt.Sprintf("rollout is in phase %d of placement %d", w.m.roll.phase, w.m.roll.index)
	case len(w.m.orphans) > 0:
		return "orphans are left"
	case len(w.containers) != len(w.m.placements):
		return fmt.Sprintf("%d containers for %d placements", len(w.containers), len(w.m.placements))
	}
	return ""
}

func TestFleetConvergesAfterRandomFaults(t *testing.T) {
	sequences := 1000
	if testing.Short() {
		sequences = 100
	}
	for seed := range sequences {
		w := newWorld(t, uint64(seed), seed%4, 1+seed%3)
		w.run(20 * time.Second)
		for range 40 {
			w.injectFaults()
			w.readGPUs()
			w.run(time.Duration(w.rand.Int64N(int64(15 * time.Second))))
			if t.Failed() {
				t.Fatalf("sequence %d", seed)
			}
		}
		w.heal()
		// Failed placements, drained GPUs and manual quarantines need resume.
		for range 100 {
			w.readGPUs()
			w.run(5 * time.Second)
		}
		for _, s := range w.m.placements {
			if s.failed {
				s.resetFailures()
			}
		}
		for _, uuid := range w.gpus {
			if err := w.m.resume(uuid); err != nil {
				t.Fatal(err)
			}
		}
		reason := "not begun"
		for end := w.now + time.Hour; reason != "" && w.now < end; {
			w.heal()
			w.readGPUs()
			w.run(5 * time.Second)
			reason = w.converged()
		}
		if reason != "" {
			t.Fatalf("sequence %d has not converged an hour after the last fault: %s", seed, reason)
		}
	}
}
