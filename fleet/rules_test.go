package fleet

import (
	"strings"
	"testing"
	"time"

	"fovea/gpu"
)

// wait advances the clock in steps of 100 ms.
func (w *world) wait(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += 100 * time.Millisecond
		w.step()
	}
}

// crash ends a placement's container and reports it.
func (w *world) crash(placement string, exitCode int) {
	for _, b := range w.all() {
		if b.placement == placement {
			b.end(exitCode)
			w.queue = append(w.queue, pending{w.now, seen{b.container}})
		}
	}
}

func (w *world) until(what string, limit time.Duration, ok func() bool) {
	w.t.Helper()
	for end := w.now + limit; !ok(); {
		if w.now >= end {
			w.t.Fatalf("not %[2]s within %[1]s: %+[3]v", limit, what, w.m.status())
		}
		w.wait(100 * time.Millisecond)
	}
}

func (w *world) state(i int) State { return w.m.placements[i].displayState() }

func TestMoreThanFiveFailuresInTenMinutesAreFinal(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	var pauses []time.Duration
	for i := range 6 {
		w.until("ready", time.Minute, func() bool { return w.state(0) == Ready })
		if w.m.placements[0].failed {
			t.Fatalf("failed permanently after %d failures", i)
		}
		w.wait(time.Minute) // less than restart.reset
		w.crash("cpu-0", 137)
		at := w.now
		w.until("over", time.Minute, func() bool { return len(w.m.placements[0].failures) == i+1 })
		pauses = append(pauses, w.m.placements[0].retryAt-at)
	}
	for i, pause := range pauses[:5] {
		middle := time.Second << i
		if pause < middle*8/10 || pause > middle*12/10+time.Second {
			t.Errorf("backoff %d is %s, want %s ± 20 %%", i, pause, middle)
		}
	}
	w.wait(time.Hour)
	if w.state(0) != Failed || w.state(1) != Ready {
		t.Errorf("states %s and %s", w.state(0), w.state(1))
	}
	if err := w.m.resume("cpu-0"); err != nil {
		t.Fatal(err)
	}
	w.until("ready after resume", time.Minute, func() bool { return w.state(0) == Ready })
}

func TestBackoffResetsAfterTenMinutesReady(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.m.cfg.Restart.Window = 24 * time.Hour
	for range 12 {
		w.until("ready", time.Minute, func() bool { return w.state(0) == Ready })
		w.wait(11 * time.Minute)
		w.crash("cpu-0", 1)
		at := w.now
		w.until("over", time.Minute, func() bool { return w.state(0) != Ready })
		if pause := w.m.placements[0].retryAt - at; pause > 3*time.Second {
			t.Fatalf("backoff %s", pause)
		}
	}
}

func TestFailuresOutsideTheWindowDoNotCount(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	for range 20 {
		w.until("ready", 2*time.Minute, func() bool { return w.state(0) == Ready })
		w.wait(3 * time.Minute)
		w.crash("cpu-0", 1)
		w.wait(time.Second)
	}
	w.until("ready", 2*time.Minute, func() bool { return w.state(0) == Ready })
}

func TestConfigurationErrorIsFatal(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	bad := testDeployment("bad")
	w.restart(persistentState{Active: &bad})
	w.until("failed", time.Minute, func() bool { return w.state(0) == Failed && w.state(1) == Failed })
	s := w.m.placements[0].status()
	if s.Restarts != 1 || !strings.Contains(s.Reason, "status 78") || len(s.Log) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestStartTimeoutIsIndependentOfLiveness(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	never := testDeployment("never")
	w.restart(persistentState{Active: &never})
	w.wait(15 * time.Second) // many times health.failures × health.interval
	if w.state(0) != Starting {
		t.Fatalf("state %s while starting", w.state(0))
	}
	w.until("given up", 10*time.Second, func() bool { return len(w.m.placements[0].failures) == 1 })
	if reason := w.m.placements[0].reason; !strings.Contains(reason, "health.start") {
		t.Errorf("reason %q", reason)
	}
}

func TestStuckStopBlocksOnlyItsPlacement(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.until("ready", time.Minute, func() bool { return w.state(0) == Ready && w.state(1) == Ready })
	for _, b := range w.all() {
		if b.placement == "cpu-0" {
			b.unstoppable, b.unhealthy = true, true
		}
	}
	w.until("stuck", time.Minute, func() bool { return w.state(0) == Stuck })
	w.crash("cpu-1", 137)
	w.wait(time.Second)
	w.until("the other is ready again", time.Minute, func() bool { return w.state(1) == Ready })
	w.heal()
	w.until("ready", 2*stuckRetry, func() bool { return w.state(0) == Ready })
}

func TestReplicaThatFailsCanariesIsReplaced(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.until("ready", time.Minute, func() bool { return w.state(0) == Ready })
	for _, b := range w.all() {
		b.canaryFails = true
	}
	w.until("replaced", time.Minute, func() bool { return w.state(0) != Ready })
	if reason := w.m.placements[0].reason; !strings.Contains(reason, "canaries") {
		t.Errorf("reason %q", reason)
	}
}

func TestEngineErrorsAreNotReplicaFailures(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.until("ready", time.Minute, func() bool { return w.state(0) == Ready })
	w.engineDown = true
	w.wait(time.Hour)
	if w.state(0) != Ready {
		t.Errorf("state %s while the engine is down", w.state(0))
	}
	w.crash("cpu-0", 137)
	w.wait(time.Hour)
	w.engineDown = false
	w.until("ready", 3*time.Minute, func() bool { return w.state(0) == Ready })
	if n := len(w.m.placements[0].failures); n > 1 {
		t.Errorf("%d failures are counted", n)
	}
}

func TestEngineBackoffResetsOnceReady(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	for range 3 {
		w.until("ready", 2*time.Minute, func() bool { return w.state(0) == Ready })
		before := w.m.placements[0].engine
		w.createDenied = true
		w.crash("cpu-0", 137)
		w.until("an engine error", time.Minute, func() bool { return w.m.placements[0].engine > before })
		if s := w.m.placements[0]; s.retryAt-w.now > 2*time.Second {
			t.Fatalf("backoff %s after the first error", s.retryAt-w.now)
		}
		w.wait(10 * time.Minute)
		if s := w.m.placements[0]; s.engine < 10 || s.state != Backoff && s.state != Creating {
			t.Fatalf("%s after %d errors", s.state, s.engine)
		}
		w.createDenied = false
	}
}

func TestGPUEvents(t *testing.T) {
	reset, none := gpu.RecoveryReset, gpu.RecoveryNone
	for name, c := range map[string]struct {
		event       gpu.Event
		quarantined bool
		manual      bool
	}{
		"lost":                                 {gpu.Event{Kind: gpu.KindXID, XID: 79, Class: gpu.ClassOut, ByDriver: true}, true, false},
		"reset, from the driver":               {gpu.Event{Kind: gpu.KindXID, XID: 48, Class: gpu.ClassReset, ByDriver: true, Recovery: &reset}, true, false},
		"reset, from the XID table alone":      {gpu.Event{Kind: gpu.KindXID, XID: 48, Class: gpu.ClassReset}, true, true},
		"application error":                    {gpu.Event{Kind: gpu.KindXID, XID: 31, Class: gpu.ClassApplication, ByDriver: true, Recovery: &none}, false, false},
		"corrected memory error":               {gpu.Event{Kind: gpu.KindECCCorrected, Class: gpu.ClassInformation}, false, false},
		"lost, without an event of the driver": {gpu.Event{Kind: gpu.KindLost, Class: gpu.ClassOut, Err: gpu.ErrLost}, true, false},
		"not responding":                       {gpu.Event{Kind: gpu.KindNotAnswering}, true, false},
		"recovery action is reset":             {gpu.Event{Kind: gpu.KindRecovery, Class: gpu.ClassReset, ByDriver: true, Recovery: &reset}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 2, 1)
			w.until("ready", time.Minute, func() bool { return len(w.m.serving()) == 2 })
			c.event.UUID = "GPU-1"
			w.queue = append(w.queue, pending{w.now, gpuEvent{c.event, time.Unix(1, 0)}})
			w.wait(200 * time.Millisecond)
			g := w.m.gpus["GPU-1"]
			if g.Quarantined != c.quarantined || g.Manual != c.manual {
				t.Fatalf("quarantined %v, manual %v", g.Quarantined, g.Manual)
			}
			if want := map[bool]int{true: 1, false: 2}[c.quarantined]; len(w.m.serving()) != want {
				t.Errorf("%d replicas are serving, want %d", len(w.m.serving()), want)
			}
			if !c.quarantined {
				return
			}
			w.restart(w.m.persistentState()) // The quarantine is saved.
			for i := range 3 {
				if w.m.gpus["GPU-1"].Quarantined != true {
					t.Fatalf("released after %d probes", i)
				}
				w.readGPUs()
				w.wait(2 * time.Second)
			}
			if w.m.gpus["GPU-1"].Quarantined != c.manual {
				t.Errorf("after three probes quarantined is %v, manual %v", !c.manual, c.manual)
			}
		})
	}
}

func TestBackoffDoublesWithJitter(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	for try, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: time.Minute, 100: time.Minute} {
		shortest, longest := time.Hour, time.Duration(0)
		for range 1000 {
			d := w.m.placements[0].backoff(try)
			shortest, longest = min(shortest, d), max(longest, d)
		}
		if shortest < want*80/100 || shortest > want*82/100 || longest > want*120/100 || longest < want*118/100 {
			t.Errorf("try %d: backoff %s to %s, want %s ± 20 %%", try, shortest, longest, want)
		}
	}
}

func TestStartFirstNeedsGPUMemory(t *testing.T) {
	const total = 80 << 30
	for name, c := range map[string]struct {
		perGPU int
		used   uint64
		want   bool
	}{
		"much":                       {1, 30 << 30, true},
		"up to 95 %":                 {1, total / 100 * 95 / 2, true},
		"beyond 95 %":                {1, total/100*95/2 + 1, false},
		"all":                        {1, total, false},
		"for a third replica":        {2, total / 100 * 95 / 3 * 2, true},
		"not enough for a third one": {2, total/100*95/3*2 + 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 1, c.perGPU)
			w.ready(c.perGPU)
			w.m.step(w.now, inventory{devices: []gpu.Device{{UUID: "GPU-0", Memory: &gpu.Memory{Total: total, Used: c.used}}}})
			if got := w.m.startFirst(w.m.placements[0]); got != c.want {
				t.Errorf("start first: %v", got)
			}
		})
	}
}

func TestReplicaUnreachableWithTheEngineIsKept(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.until("ready", time.Minute, func() bool { return w.state(0) == Ready && w.state(1) == Ready })
	before := w.all()
	w.engineDown = true
	for _, b := range before {
		b.unresponsive = true // as when published ports end with the engine
	}
	w.until("out of service", time.Minute, func() bool { return w.state(0) == Unready && w.state(1) == Unready })
	w.wait(10 * time.Minute)
	if w.state(0) != Unready || w.state(1) != Unready {
		t.Errorf("states %s and %s while the engine is away", w.state(0), w.state(1))
	}
	w.engineDown = false
	before[0].unresponsive = false
	w.until("the responding replica is ready", time.Minute, func() bool { return w.state(0) == Ready })
	w.until("the other replica is replaced", 2*time.Minute, func() bool { return w.state(1) == Ready })
	if after := w.all(); after[0] != before[0] || after[1] == before[1] || w.m.placements[0].restarts != 0 || w.m.placements[1].restarts != 1 {
		t.Errorf("%+v became %+v", before, after)
	}
}
