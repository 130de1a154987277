package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"fovea/docker"
	"fovea/fleet/gateway"
	"fovea/gpu"
)

var errFault = errors.New("fault")

// pending is an observation to be delivered at a time.
type pending struct {
	at  time.Duration
	obs observation
}

// world simulates an engine, GPUs and replicas, all with faults, on a virtual clock, with a state machine that keeps a
// fleet on them.
type world struct {
	t      *testing.T
	rand   *rand.Rand
	cfg    Config
	now    time.Duration
	before time.Duration // time of the last traffic
	m      *machine

	placements   []Placement
	containers   map[string]*fakeContainer // by ID
	queue        []pending
	ids          int
	engineDown   bool            // every engine call fails
	createDenied bool            // the engine denies creating containers
	faultyGPUs   map[string]bool // by UUID
	gpus         []string
	load         float64                    // requests per second and replica
	successShare float64                    // share of requests that healthy replicas answer; less than 1 is overload
	totals       map[string]*gateway.Status // by URL

	health map[replicaSeq]probed        // as delivered last
	exited map[replicaSeq]bool          // known to have exited
	served map[replicaSeq]bool          // has received requests
	drains map[replicaSeq]time.Duration // limit of its drain: the time until which it may be in progress
	idle   map[replicaSeq]bool          // its drain has ended
}

func newWorld(t *testing.T, seed uint64, gpus, perGPU int) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), cfg: Defaults(), containers: map[string]*fakeContainer{}, faultyGPUs: map[string]bool{},
		successShare: 1, totals: map[string]*gateway.Status{},
	}
	w.cfg.Health.StartTimeout, w.cfg.Health.Canary = 20*time.Second, 5*time.Second
	w.cfg.Rollout.Monitor = 3 * time.Second
	for g := range max(gpus, 1) {
		for i := range perGPU {
			p := Placement{Name: fmt.Sprintf("cpu-%d", i)}
			if gpus > 0 {
				uuid := fmt.Sprintf("GPU-%d", g)
				p = Placement{Name: fmt.Sprintf("gpu%d-%d", g, i), Device: uuid, GPU: uuid}
			}
			w.placements = append(w.placements, p)
		}
		if gpus > 0 {
			w.gpus = append(w.gpus, fmt.Sprintf("GPU-%d", g))
		}
	}
	first := testDeployment("v1")
	w.restart(persistentState{Active: &first})
	return w
}

func testDeployment(image string) Deployment {
	s := docker.Defaults()
	s.Image = image
	return Deployment{Image: image, Spec: s}
}

// restart starts a new supervisor from the saved state.
func (w *world) restart(k persistentState) {
	w.m = newMachine(w.cfg, w.placements, k, slog.New(slog.DiscardHandler), w.rand)
	w.totals = map[string]*gateway.Status{} // the new supervisor has a new gateway
	w.queue, w.health, w.exited = nil, map[replicaSeq]probed{}, map[replicaSeq]bool{}
	w.served, w.drains, w.idle = map[replicaSeq]bool{}, map[replicaSeq]time.Duration{}, map[replicaSeq]bool{}
	for _, b := range w.containers {
		b.shift(w.now)
	}
	w.now, w.before = 0, 0
}

// soon returns a random time within a limit from now.
func (w *world) soon(most time.Duration) time.Duration {
	return w.now + time.Duration(w.rand.Int64N(int64(most)))
}

func (w *world) later(most time.Duration, o observation) {
	w.queue = append(w.queue, pending{w.soon(most), o})
}

func (w *world) chance(p float64) bool { return w.rand.Float64() < p }

// run advances the clock in random steps and checks the invariants after each.
func (w *world) run(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += time.Duration(w.rand.Int64N(int64(500 * time.Millisecond)))
		w.step()
	}
}

func (w *world) step() {
	w.live()
	var due []observation
	due = append(due, w.traffic())
	rest := w.queue[:0]
	for _, p := range w.queue {
		if p.at <= w.now {
			due = append(due, p.obs)
		} else {
			rest = append(rest, p)
		}
	}
	w.queue = rest
	for _, o := range due {
		switch o := o.(type) {
		case probed:
			w.health[o.seq] = o
		case drained:
			w.idle[o.seq] = true
		case seen:
			w.note(o.container, w.now)
		case listed:
			for _, c := range o.containers {
				w.note(c, o.since)
			}
		}
	}
	for _, a := range w.m.step(w.now, due...) {
		w.do(a)
	}
	w.check()
}

// note records a reported exit, unless the report may be older than the container's start.
func (w *world) note(c container, asked time.Duration) {
	for _, r := range w.m.replicas() {
		if r.container == c.id && !c.running && r.createdAt <= asked {
			w.exited[r.seq] = true
		}
	}
}

func (w *world) do(a action) {
	switch a := a.(type) {
	case create:
		w.create(a)
	case probe:
		w.probe(a)
	case predict:
		w.later(time.Second, predicted{a.seq, w.answers(a.url), "no"})
	case drain:
		w.drain(a)
	case remove:
		w.remove(a)
	case removeUnplaced:
		if a.grace != w.cfg.StopTimeout {
			w.t.Fatalf("an unplaced container gets %s to stop", a.grace)
		}
		o := removedUnplaced{id: a.id}
		if b := w.containers[a.id]; b != nil && (b.unstoppable || w.engineDown) {
			o.err = errFault
		} else {
			delete(w.containers, a.id)
		}
		w.later(3*time.Second, o)
	case listContainers:
		w.list()
	case readGPUs:
		w.readGPUs()
	}
}

// answers returns the outcome of a prediction.
func (w *world) answers(url string) verdict {
	b := w.at(url)
	switch {
	case b == nil || b.unresponsive || b.slow || !w.chance(w.successShare):
		return late
	case b.canaryFails:
		return bad
	}
	return good
}

// traffic returns the counters of the serving replicas' requests.
func (w *world) traffic() traffic {
	var o traffic
	for _, r := range w.m.serving() {
		s := w.totals[r.url]
		if s == nil {
			s = &gateway.Status{ID: r.id, URL: r.url}
			w.totals[r.url] = s
		}
		requests := w.load * (w.now - w.before).Seconds()
		n := int(requests)
		if w.chance(requests - float64(n)) {
			n++
		}
		s.InFlight = int(w.load)
		for range n {
			if b := w.at(r.url); w.answers(r.url) == good && !w.chance(b.failShare) {
				s.Good++
			} else {
				s.Bad++
			}
		}
		o.replicas = append(o.replicas, *s)
	}
	w.before = w.now
	return o
}

// readGPUs delivers an inventory.
func (w *world) readGPUs() {
	if len(w.gpus) == 0 {
		return
	}
	o := inventory{since: w.now, wall: time.Unix(1, 0)}
	for i, uuid := range w.gpus {
		d := gpu.Device{Index: i, UUID: uuid, Memory: &gpu.Memory{Total: 80 << 30, Used: uint64(w.rand.IntN(80)) << 30}}
		if w.faultyGPUs[uuid] {
			d.Err = gpu.ErrLost
		}
		o.devices = append(o.devices, d)
	}
	w.later(time.Second, o)
}

// check tests the invariants.
func (w *world) check() {
	w.t.Helper()
	double := 0
	for i, s := range w.m.placements {
		startRollout := w.m.roll != nil && w.m.roll.index == i
		if s.next != nil {
			double++
			if !startRollout && s.next.cause == notEnding {
				w.t.Fatalf("%s has two replicas outside a rollout", s.Name)
			}
		}
	}
	if double > 1 {
		w.t.Fatalf("%d placements have two replicas", double)
	}
	names := map[string]bool{}
	for _, b := range w.containers {
		if names[b.name] {
			w.t.Fatalf("two containers are named %s", b.name)
		}
		names[b.name] = true
	}
	for _, r := range w.m.serving() {
		w.served[r.seq] = true
		p, known := w.health[r.seq]
		switch {
		case !known || p.health == bad || p.ready == bad:
			w.t.Fatalf("%s is serving, and its last probe was %+v", r.id, p)
		case w.exited[r.seq]:
			w.t.Fatalf("%s is serving, and its container is known to have exited", r.id)
		case r.placement.blocked():
			w.t.Fatalf("%s is serving on a GPU that is out of use", r.id)
		case r.cause != notEnding:
			w.t.Fatalf("%s is serving while it is being terminated", r.id)
		}
	}
}
