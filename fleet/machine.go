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
	unhealthyStopGrace   = 5 * time.Second  // for a replica that is to be replaced because it is ill
	quarantineDrainLimit = 10 * time.Second // for requests on a GPU that is quarantined
	callSlack            = 30 * time.Second // beyond what an action may take by itself, before it counts as hung
	createLimit          = 3 * time.Minute
)

// machine decides what to do. It is given the time, which is monotonic, and what was seen; it does nothing by itself.
type machine struct {
	cfg  Config
	log  *slog.Logger
	rand *rand.Rand

	now        time.Duration
	placements []*placementState
	orphans    []*replica      // stuck ones whose place has gone to another
	unplaced   map[string]bool // IDs of containers without a place that are being removed
	gpus       map[string]*gpuState
	adopted    bool // the containers that were there at the start are known
	engine     error
	driver     error // why the GPUs could not be read

	active       *Deployment // what replicas are made of outside a roll-out
	target       *Deployment // of the roll-out that runs, or of the one that failed
	failed       string      // why the last roll-out failed
	failedLog    []string    // of its new replica
	roll         *rollout
	shuttingDown bool // everything is to stop

	lastInstance instanceID
	listDue      time.Duration
	listPending  bool
	dirty        bool // there is something to keep
	out          []action
}

func newMachine(cfg Config, placements []Placement, saved persistentState, log *slog.Logger, random *rand.Rand) *machine {
	m := &machine{cfg: cfg, log: log, rand: random, unplaced: map[string]bool{}, gpus: map[string]*gpuState{},
		active: saved.Active, target: saved.Target, failed: saved.Failed}
	for _, p := range placements {
		m.placements = append(m.placements, &placementState{m: m, Placement: p, since: 0})
		if p.GPU != "" && m.gpus[p.GPU] == nil {
			m.gpus[p.GPU] = &gpuState{uuid: p.GPU, index: -1}
		}
	}
	for _, q := range saved.Quarantines {
		m.gpus[q.GPU] = &gpuState{uuid: q.GPU, index: q.Index, quarantined: q.Quarantined, drained: q.Drained, manual: q.Manual, reason: q.Reason, since: q.Since}
	}
	return m
}

// step takes the time and what was seen, and returns what to do.
func (m *machine) step(now time.Duration, seen ...observation) []action {
	m.now = max(m.now, now)
	for _, o := range seen {
		m.observe(o)
	}
	m.tick()
	out := m.out // also what a command since the last step asked for
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

// lookNow asks for a look at the containers, now or once the one under way is over.
func (m *machine) requestList() { m.listDue = m.now }

// replicas are all that live.
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

// observe takes what was seen. What speaks of a replica that is gone says nothing any more.
func (m *machine) observe(o observation) {
	switch o := o.(type) {
	case created:
		if r := m.replica(o.instanceID); r != nil {
			r.created(o)
		} else {
			m.requestList() // It may be there, and nobody's.
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

// serving is the replicas that get requests.
func (m *machine) serving() []*replica {
	var list []*replica
	for _, r := range m.replicas() {
		if r.state == Ready {
			list = append(list, r)
		}
	}
	return list
}

// done tells whether all has ended that can be ended.
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

// end stops everything.
func (m *machine) end() {
	m.shuttingDown = true
	m.roll = nil
	for _, r := range m.replicas() {
		r.end(endPlanned, "the fleet is being stopped")
	}
}

// resume lifts what holds a GPU or a place back: name is a GPU's UUID, or a place's or replica's name.
func (m *machine) resume(name string) error {
	if g := m.gpus[name]; g != nil {
		m.release(g, "by hand")
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
