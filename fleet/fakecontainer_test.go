package fleet

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/docker"
	"fovea/internal/exitcode"
)

const never = time.Duration(1 << 62)

// fakeContainer is a container of the simulated engine: created, then started, finally exited.
type fakeContainer struct {
	container
	started      bool
	startsAt     time.Duration
	readyAt      time.Duration
	endsAt       time.Duration // by itself
	unhealthy    bool          // /health fails
	unresponsive bool          // no response at all
	unready      bool
	lost         bool // reports that it cannot access its GPU
	canaryFails  bool
	slow         bool    // canaries time out
	failShare    float64 // of client requests; canaries succeed
	unstoppable  bool    // cannot be stopped
}

func (b *fakeContainer) end(exitCode int) {
	b.started, b.running, b.endsAt, b.exitCode = true, false, never, exitCode
}

// shift moves its times to a new clock.
func (b *fakeContainer) shift(by time.Duration) {
	for _, at := range []*time.Duration{&b.startsAt, &b.readyAt, &b.endsAt} {
		if *at != never {
			*at -= by
		}
	}
}

// all returns the containers in a fixed order.
func (w *world) all() []*fakeContainer {
	return slices.SortedFunc(maps.Values(w.containers), func(a, b *fakeContainer) int { return strings.Compare(a.id, b.id) })
}

// live starts and ends containers whose time has come.
func (w *world) live() {
	for _, b := range w.all() {
		if !b.started && w.now >= b.startsAt {
			b.started, b.running = true, true
		}
		if b.running && w.now >= b.endsAt {
			b.end(exitcode.Configuration)
			w.later(time.Second, seen{b.container})
		}
	}
}

func (w *world) create(a create) {
	switch {
	case w.createDenied:
		w.later(time.Second, created{instanceID: a.instanceID, err: docker.ErrDenied, cause: endCauseOf(docker.ErrDenied)})
		return
	case w.engineDown && w.chance(0.05):
		return // no response
	}
	o := created{instanceID: a.instanceID, err: errFault, cause: endEngineError}
	answered := w.soon(2 * time.Second)
	taken := slices.ContainsFunc(w.all(), func(b *fakeContainer) bool { return b.name == a.spec.Name })
	if !taken && (!w.engineDown || w.chance(0.2)) { // A call that fails may have taken effect.
		b := w.put(a.spec, answered)
		if !w.engineDown {
			o = created{instanceID: a.instanceID, container: b.id, url: b.url}
			if b.endsAt <= answered {
				o.url = "" // An exited container has no port.
			}
		}
	}
	w.queue = append(w.queue, pending{answered, o})
}

// put creates a container that starts before answered.
func (w *world) put(s docker.Spec, answered time.Duration) *fakeContainer {
	w.ids++
	generation, _ := strconv.Atoi(s.Labels[docker.LabelGeneration])
	b := &fakeContainer{container: container{
		id: fmt.Sprint("id", w.ids), name: s.Name, placement: s.Labels[docker.LabelReplica], generation: generation,
		hash: s.Hash(), url: fmt.Sprint("url", w.ids),
	}, endsAt: never}
	b.startsAt = w.soon(max(answered-w.now, 1))
	b.readyAt = b.startsAt + time.Duration(w.rand.Int64N(int64(3*time.Second)))
	switch s.Image {
	case "bad":
		b.readyAt, b.endsAt = never, b.startsAt+time.Duration(w.rand.Int64N(int64(2*time.Second)))
	case "never":
		b.readyAt = never
	}
	w.containers[b.id] = b
	return b
}

func (w *world) list() {
	o := listed{since: w.now, err: errFault}
	if !w.engineDown {
		o.err = nil
		for _, b := range w.all() {
			o.containers = append(o.containers, b.container)
		}
	}
	w.later(2*time.Second, o)
}

func (w *world) at(url string) *fakeContainer {
	for _, b := range w.containers {
		if b.url == url && b.running {
			return b
		}
	}
	return nil
}

func (w *world) probe(a probe) {
	o := probed{instanceID: a.instanceID}
	if b := w.at(a.url); b != nil && !b.unresponsive {
		o.health, o.ready = good, good
		if b.unhealthy {
			o.health = bad
		}
		if b.unready || w.now < b.readyAt {
			o.ready = bad
		}
		o.lost = b.lost
	}
	w.later(time.Second, o)
}

// drain ends when the requests in flight have ended, or at its limit; rarely it hangs.
func (w *world) drain(a drain) {
	limit := w.cfg.Health.Drain
	if r := w.m.replica(a.instanceID); r.placement.blocked() && w.m.gpus[r.placement.GPU].Quarantined {
		limit = quarantineDrainLimit
	}
	if a.limit != limit {
		w.t.Fatalf("a drain may take %s, not %s", a.limit, limit)
	}
	w.drains[a.instanceID] = w.now + limit
	if !w.chance(0.02) {
		w.later(5*time.Second, drained{instanceID: a.instanceID})
	}
}

// checkRemove tests that a planned end drains first, and what time the container gets to stop.
func (w *world) checkRemove(a remove) {
	w.t.Helper()
	r := w.m.replica(a.instanceID)
	if r.cause != endPlanned {
		if a.grace != unhealthyStopGrace {
			w.t.Fatalf("%s has failed and gets %s to stop", r.id, a.grace)
		}
		return
	}
	if a.grace != w.cfg.Stop {
		w.t.Fatalf("%s gets %s to stop, not %s", r.id, a.grace, w.cfg.Stop)
	}
	limit, draining := w.drains[r.instanceID]
	overdue := draining && w.now >= limit
	if w.served[r.instanceID] && !w.idle[r.instanceID] && !w.exited[r.instanceID] && !overdue {
		w.t.Fatalf("%s is removed as planned, and was not drained", r.id)
	}
}

func (w *world) remove(a remove) {
	w.checkRemove(a)
	o := removed{instanceID: a.instanceID, logs: []string{"the last line"}}
	for id, b := range w.containers {
		if b.id != a.ref && b.name != a.ref {
			continue
		}
		if b.unstoppable || w.engineDown {
			o.err = errFault
		} else {
			delete(w.containers, id)
		}
	}
	w.later(3*time.Second, o)
}
