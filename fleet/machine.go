package fleet

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

const (
	fastProbeInterval    = 250 * time.Millisecond // between probes of a replica that is not ready
	stuckRetry           = 30 * time.Second
	unhealthyStopGrace   = 5 * time.Second  // between SIGTERM and SIGKILL for a replica that has failed
	quarantineDrainLimit = 10 * time.Second // for requests in flight on a quarantined GPU
	callSlack            = 30 * time.Second // on top of an action's own limit before it counts as hung
	createLimit          = 3 * time.Minute
)

// machine is the state machine that reconciles the fleet. It performs no I/O; its clock is monotonic and set by step.
type machine struct {
	cfg  Config
	log  *slog.Logger
	rand *rand.Rand

	now        time.Duration
	placements []*placementState
	orphans    []*replica      // stuck replicas whose placement has been given to another
	unplaced   map[string]bool // IDs of containers without a placement that are being removed
	gpus       map[string]*gpuState
	adopted    bool // the containers found at startup are known
	engine     error
	driver     error // last error of reading the GPUs

	active       *Deployment // what replicas are made from outside a rollout
	target       *Deployment // of the current rollout, or of the last one if it failed
	failed       string      // why the last rollout failed
	failedLog    []string    // last lines of its new replica
	roll         *rollout
	shuttingDown bool

	lastInstance instanceID
	listDue      time.Duration
	listPending  bool
	dirty        bool // there is state to save
	out          []action
}

func newMachine(cfg Config, placements []Placement, saved persistentState, log *slog.Logger, random *rand.Rand) *machine {
	m := &machine{cfg: cfg, log: log, rand: random, unplaced: map[string]bool{}, gpus: map[string]*gpuState{},
		active: saved.Active, target: saved.Target, failed: saved.Failed}
	for _, p := range placements {
		m.placements = append(m.placements, &placementState{m: m, Placement: p})
		if p.GPU != "" && m.gpus[p.GPU] == nil {
			m.gpus[p.GPU] = &gpuState{uuid: p.GPU, index: -1}
		}
	}
	for _, q := range saved.Quarantines {
		m.gpus[q.GPU] = &gpuState{uuid: q.GPU, index: q.Index, quarantined: q.Quarantined, drained: q.Drained, manual: q.Manual, reason: q.Reason, since: q.Since}
	}
	return m
}

// step sets the time, applies observations and returns the actions that follow.
func (m *machine) step(now time.Duration, seen ...observation) []action {
	m.now = max(m.now, now)
	for _, o := range seen {
		m.observe(o)
	}
	m.tick()
	out := m.out // including those of commands since the last step
	m.out = nil
	return out
}

func (m *machine) tick() {
	if !m.listPending && m.now >= m.listDue {
		m.listPending = true
		m.do(listContainers{})
	}
	if !m.adopted {
		return
	}
	m.advance()
	m.replaceGPULost()
	for _, s := range m.placements {
		s.tick()
	}
	for _, r := range m.orphans {
		r.tick()
	}
}

func (m *machine) do(a action) { m.out = append(m.out, a) }

// requestList lists the containers as soon as no other list is pending.
func (m *machine) requestList() { m.listDue = m.now }

// replicas returns all replicas, orphans included.
func (m *machine) replicas() []*replica {
	var all []*replica
	for _, s := range m.placements {
		all = append(all, s.replicas()...)
	}
	return append(all, m.orphans...)
}

func (m *machine) replica(l instanceID) *replica {
	for _, r := range m.replicas() {
		if r.instanceID == l {
			return r
		}
	}
	return nil
}

// observe applies an observation. Those about replicas that are gone are ignored.
func (m *machine) observe(o observation) {
	switch o := o.(type) {
	case created:
		if r := m.replica(o.instanceID); r != nil {
			r.created(o)
		} else {
			m.requestList() // The container may exist and belong to no replica.
		}
	case probed:
		if r := m.replica(o.instanceID); r != nil {
			r.probed(o)
		}
	case predicted:
		if r := m.replica(o.instanceID); r != nil {
			r.predicted(o)
		}
	case traffic:
		m.observeTraffic(o)
	case drained:
		if r := m.replica(o.instanceID); r != nil {
			r.drained(o)
		}
	case removed:
		if r := m.replica(o.instanceID); r != nil {
			r.removed(o)
		}
	case removedUnplaced:
		m.removedUnplaced(o)
	case listed:
		m.listed(o)
	case seen:
		m.seen(o.container, m.now)
	case gpuEvent:
		m.handleGPUEvent(o)
	case inventory:
		m.inventory(o)
	}
}

// serving returns the replicas that receive requests.
func (m *machine) serving() []*replica {
	var list []*replica
	for _, r := range m.replicas() {
		if r.state == Ready {
			list = append(list, r)
		}
	}
	return list
}

// done reports whether everything that can be stopped has stopped.
func (m *machine) done() bool {
	if !m.shuttingDown || !m.adopted || len(m.unplaced) > 0 {
		return false
	}
	for _, r := range m.replicas() {
		if r.state != Stuck {
			return false
		}
	}
	return true
}

// end begins to stop all replicas.
func (m *machine) end() {
	m.shuttingDown = true
	m.roll = nil
	for _, r := range m.replicas() {
		r.end(endPlanned, "the fleet is shutting down")
	}
}

// resume releases a GPU by UUID, or resets the failures of a placement by its name or its replica's.
func (m *machine) resume(name string) error {
	if g := m.gpus[name]; g != nil {
		m.release(g, "resumed manually")
		g.drained = false
		return nil
	}
	for _, s := range m.placements {
		if s.named(name) {
			s.resetFailures()
			return nil
		}
	}
	return fmt.Errorf("%q is neither a GPU nor a replica of this fleet", name)
}
