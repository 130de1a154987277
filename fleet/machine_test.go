package fleet

import (
	"fmt"
	"testing"
	"time"

	"fovea/gpu"
)

// disturb does one thing that may go wrong.
func (w *world) disturb() {
	for _, b := range w.all() {
		if !w.chance(0.3) {
			continue
		}
		switch w.rand.IntN(11) {
		case 10:
			b.late = !b.late
		case 0, 1:
			b.end(137)
			if w.chance(0.7) { // else the event is lost
				w.later(time.Second, seen{b.container})
			}
		case 2:
			delete(w.boxes, b.id) // someone removed it
		case 3:
			b.sick = !b.sick
		case 4:
			b.mute = !b.mute
		case 5:
			b.unready = !b.unready
		case 6:
			b.lies = !b.lies
		case 7:
			b.held = !b.held
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
		w.load, w.share = w.rand.Float64()*20, w.rand.Float64()
	case 0:
		w.broken = !w.broken
	case 1, 2:
		if len(w.gpus) > 0 {
			w.disturbGPU(w.gpus[w.rand.IntN(len(w.gpus))])
		}
	case 3:
		_ = w.m.deploy(deployment([]string{"v2", "v3", "bad", "never"}[w.rand.IntN(4)])) // refused while one is under way
	case 4:
		w.restart(w.m.kept())
	case 5:
		w.m.lookNow()
	case 6:
		w.refuses = !w.refuses
	}
}

func (w *world) disturbGPU(uuid string) {
	w.sickGPU[uuid] = !w.sickGPU[uuid]
	e := gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 79, Class: gpu.ClassOut, ByDriver: true}
	switch w.rand.IntN(4) {
	case 0:
		e = gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 48, Class: gpu.ClassReset} // the driver knows no action
	case 1:
		e = gpu.Event{Kind: gpu.KindXID, UUID: uuid, XID: 31, Class: gpu.ClassApplication}
	case 2:
		_ = w.m.drainGPU(uuid) // It is one of the fleet's.
	}
	w.later(time.Second, gpuEvent{e, time.Unix(1, 0)})
}

// heal ends all faults.
func (w *world) heal() {
	w.broken, w.refuses, w.share = false, false, 1
	clear(w.sickGPU)
	for _, b := range w.boxes {
		b.sick, b.mute, b.unready, b.lies, b.held, b.lost, b.late = false, false, false, false, false, false, false
		if b.readyAt != never {
			b.readyAt = min(b.readyAt, w.now+time.Second)
		}
	}
}

// converged says what is not as it should be.
func (w *world) converged() string {
	for _, s := range w.m.slots {
		if s.cur == nil || s.cur.state != Ready || s.next != nil {
			return fmt.Sprintf("%s is %s: %s", s.Name, s.display(), s.why)
		}
		if s.cur.dep != s.dep && w.m.failed != "" {
			continue // It was adopted after a roll-out that failed, and stays until its end or the next roll-out.
		}
		if b := w.at(s.cur.url); b == nil || b.hash != s.dep.hash(w.cfg.Name, s.Place) {
			return fmt.Sprintf("%s is of generation %d, not %d; failed %q; active %+v; target %+v", s.Name, s.cur.generation, s.dep.Generation, w.m.failed, w.m.active.Generation, w.m.target)
		}
	}
	switch {
	case w.m.roll != nil:
		return fmt.Sprintf("the roll-out is in phase %d of place %d", w.m.roll.phase, w.m.roll.index)
	case len(w.m.strays) > 0:
		return "strays are left"
	case len(w.boxes) != len(w.m.slots):
		return fmt.Sprintf("%d containers for %d places", len(w.boxes), len(w.m.slots))
	}
	return ""
}

func TestAnyFaultsEndWithEveryPlaceFilledOnce(t *testing.T) {
	sequences := 1000
	if testing.Short() {
		sequences = 100
	}
	for seed := range sequences {
		w := newWorld(t, uint64(seed), seed%4, 1+seed%3)
		w.run(20 * time.Second)
		for range 40 {
			w.disturb()
			w.look()
			w.run(time.Duration(w.rand.Int64N(int64(15 * time.Second))))
			if t.Failed() {
				t.Fatalf("sequence %d", seed)
			}
		}
		w.heal()
		// A place that failed for good, a GPU drained by hand or one of which no probe can tell is for people to resume.
		for range 100 {
			w.look()
			w.run(5 * time.Second)
		}
		for _, s := range w.m.slots {
			if s.failed {
				s.pardon()
			}
		}
		for _, uuid := range w.gpus {
			if err := w.m.resume(uuid); err != nil {
				t.Fatal(err)
			}
		}
		why := "not begun"
		for end := w.now + time.Hour; why != "" && w.now < end; {
			w.heal()
			w.look()
			w.run(5 * time.Second)
			why = w.converged()
		}
		if why != "" {
			t.Fatalf("sequence %d has not converged an hour after the last fault: %s", seed, why)
		}
	}
}
