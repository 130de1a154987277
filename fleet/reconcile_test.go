package fleet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/docker"
	"fovea/internal/exitcode"
)

func TestListOlderThanAStartIsIgnored(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, 0, 3)
		listing := func(ok func() bool) func() bool {
			return func() bool { w.m.requestList(); return ok() }
		}
		w.until("ready", time.Minute, listing(func() bool { return len(w.m.serving()) == 3 }))
		w.startRollout("v2")
		w.until("the rollout is complete", 5*time.Minute, listing(func() bool { return w.m.roll == nil }))
		for _, s := range w.m.placements {
			if w.m.failed != "" || len(s.failures) > 0 {
				t.Fatalf("sequence %d: rollout %q; %d failures of %s, the last: %s", seed, w.m.failed, len(s.failures), s.Name, s.reason)
			}
		}
	}
}

func TestExitReportedBeforeTheContainerIsKnown(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, 0, 1)
		w.cfg.Engine.Resync = time.Hour
		bad := testDeployment("bad")
		w.restart(persistentState{Active: &bad})
		w.until("failed", time.Minute, func() bool { return w.state(0) == Failed })
		if s := w.m.placements[0]; !strings.Contains(s.reason, "status 78") || len(s.failures) > 0 {
			t.Errorf("sequence %d: %s, after %d failures", seed, s.reason, len(s.failures))
		}
	}
}

func TestEngineThatRespondsAgain(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	stuck := w.all()[0]
	stuck.unhealthy, stuck.unstoppable = true, true
	w.until("stuck", time.Minute, func() bool { return w.state(0) == Stuck })
	w.wait(stuckRetry / 2)
	w.all()[1].unready = true
	w.until("unready", time.Minute, func() bool { return w.state(1) == Unready })
	w.engineDown, stuck.unstoppable = true, false
	w.until("the engine is down", time.Minute, func() bool { return w.m.engineErr != nil })
	w.wait(w.cfg.Health.UnreadyTimeout)
	w.engineDown = false
	w.until("the engine responds", time.Minute, func() bool { return w.m.engineErr == nil })
	if r := w.m.placements[0].current; r.state != Stuck || r.op != opRemove {
		t.Errorf("%s, operation %d: not retried at once", r.state, r.op)
	}
	if r := w.m.placements[1].current; r.state != Unready || r.since != w.m.now {
		t.Errorf("%s since %s, not %s", r.state, r.since, w.m.now)
	}
	w.until("the stuck one is replaced", stuckRetry/2, func() bool { return w.state(0) == Ready })
}

func TestConfigurationStatusOfAReplicaThatWasReadyIsNotFatal(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	w.crash("cpu-0", exitcode.Configuration)
	w.until("exited", time.Minute, func() bool { return w.state(0) != Ready })
	w.ready(1)
}

func TestContainerOfAnUnknownDeploymentIsReplaced(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	w.all()[0].hash = "unknown"
	w.restart(w.m.persistentState())
	w.until("adopted", time.Minute, func() bool { return w.m.adopted })
	if w.m.adoptedProbed() {
		t.Error("the gateway serves before the first probe")
	}
	w.until("replaced", 5*time.Minute, func() bool { return w.m.roll == nil && len(w.m.serving()) == 2 && w.converged() == "" })
	if !w.m.adoptedProbed() {
		t.Error("the gateway does not serve")
	}
	for _, b := range w.all() {
		if b.hash == "unknown" {
			t.Errorf("%s is left", b.name)
		}
	}
}

func TestGenerationsAfterLostState(t *testing.T) {
	saved := func(image string, generation int) *Deployment {
		d := testDeployment(image)
		d.Generation = generation
		return &d
	}
	for name, c := range map[string]struct {
		saved      persistentState
		image      string
		generation int
		adopted    bool
	}{
		"no state: the containers' generation": {persistentState{Active: saved("v2", 0)}, "v2", 2, true},
		"no state, another image":              {persistentState{Active: saved("v3", 0)}, "v3", 3, false},
		"old state: the generation is taken":   {persistentState{Active: saved("v1", 1), Target: saved("v3", 2)}, "v3", 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, 2)
			w.ready(2)
			w.startRollout("v2")
			w.until("the rollout is complete", 5*time.Minute, func() bool { return w.m.roll == nil })
			before := w.all()
			w.restart(c.saved)
			w.until("all are ready", 5*time.Minute, func() bool { return w.m.adopted && w.m.roll == nil && len(w.m.serving()) == 2 })
			if d := w.m.active; d.Image != c.image || d.Generation != c.generation || slices.Equal(before, w.all()) != c.adopted {
				t.Errorf("%s has generation %d; containers %v became %v", d.Image, d.Generation, before, w.all())
			}
		})
	}
}

func TestDownWaitsForUnplacedContainers(t *testing.T) {
	w := newWorld(t, 1, 0, 1)
	w.ready(1)
	extra := w.put(docker.Spec{Name: "extra", Labels: map[string]string{docker.LabelReplica: "cpu-7"}}, w.now)
	extra.unstoppable = true
	w.m.seen(extra.container, w.now)
	w.m.seen(extra.container, w.now)
	actions := w.m.step(w.now)
	asked := slices.DeleteFunc(slices.Clone(actions), func(a action) bool { _, is := a.(removeUnplaced); return !is })
	if len(asked) != 1 {
		t.Fatalf("seen twice, removed %d times", len(asked))
	}
	w.m.end()
	w.until("the replica is gone", time.Minute, func() bool { return len(w.m.replicas()) == 0 })
	if w.m.done() {
		t.Error("done while a container is being removed")
	}
	w.m.step(w.now, removedUnplaced{id: extra.id, err: errFault})
	if !w.m.done() {
		t.Error("a container that cannot be removed delays the end")
	}
}

func TestDownBeforeTheFirstList(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	w.restart(w.m.persistentState())
	w.engineDown = true
	w.wait(time.Minute)
	w.m.end()
	w.wait(time.Minute)
	w.engineDown = false
	w.until("everything has stopped", time.Minute, w.m.done)
	if len(w.containers) > 0 {
		t.Errorf("%d containers are left", len(w.containers))
	}
}

func TestAddressOfAReplica(t *testing.T) {
	here, elsewhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for name, c := range map[string]struct {
		port         int
		own, gateway netip.Addr
		want         string
	}{
		"exited":                    {0, here, here, ""},
		"no address":                {4711, netip.Addr{}, netip.Addr{}, "http://127.0.0.1:4711"},
		"network on this host":      {4711, netip.MustParseAddr("127.0.0.2"), here, "http://127.0.0.2:8000"},
		"network elsewhere":         {4711, elsewhere, netip.MustParseAddr("192.0.2.254"), "http://127.0.0.1:4711"},
		"network without a gateway": {4711, here, netip.Addr{}, "http://127.0.0.1:4711"},
		"gateway on another host":   {4711, here, elsewhere, "http://127.0.0.1:4711"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := httpURL(address(c.port, serverPort, c.own, c.gateway)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
