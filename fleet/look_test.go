package fleet

import (
	"strings"
	"testing"
	"time"
)

func TestLookThatIsOlderThanAStartFindsNoFault(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, 0, 3)
		looks := func(ok func() bool) func() bool {
			return func() bool { w.m.lookNow(); return ok() }
		}
		w.until("ready", time.Minute, looks(func() bool { return len(w.m.serving()) == 3 }))
		w.rolling("v2")
		w.until("the roll-out is over", 5*time.Minute, looks(func() bool { return w.m.roll == nil }))
		for _, s := range w.m.slots {
			if w.m.failed != "" || len(s.failures) > 0 {
				t.Fatalf("sequence %d: roll-out %q; %d failures of %s, the last: %s", seed, w.m.failed, len(s.failures), s.Name, s.why)
			}
		}
	}
}

func TestEndThatIsToldBeforeTheContainerIsKnownIsNoticed(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, 0, 1)
		w.cfg.Engine.Resync = time.Hour
		bad := deployment("bad")
		w.restart(Kept{Active: &bad})
		w.until("failed", time.Minute, func() bool { return w.state(0) == Failed })
		if s := w.m.slots[0]; !strings.Contains(s.why, "status 78") || len(s.failures) > 0 {
			t.Errorf("sequence %d: %s, after %d failures", seed, s.why, len(s.failures))
		}
	}
}

func TestDownBeforeTheFirstLookEndsWhatIsFound(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	w.restart(w.m.kept())
	w.broken = true
	w.wait(time.Minute)
	w.m.end()
	w.wait(time.Minute)
	w.broken = false
	w.until("all has ended", time.Minute, w.m.done)
	if len(w.boxes) > 0 {
		t.Errorf("%d containers are left", len(w.boxes))
	}
}
