package fleet

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
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
		m.placements = append(m.placements, &placementState{m: m, Placement: p, state: Waiting})
		if p.GPU != "" && m.gpus[p.GPU] == nil {
			m.gpus[p.GPU] = &gpuState{quarantineRecord: quarantineRecord{GPU: p.GPU, Index: -1}}
		}
	}
	for _, q := range saved.Quarantines {
		m.gpus[q.GPU] = &gpuState{quarantineRecord: q}
	}
	return m
}

// step sets the time, applies observations and returns the actions that follow.
func (m *machine) step(now time.Duration, seen ...observation) []action {
	m.now = max(m.now, now)
	for _, o := range seen {
		o.apply(m)
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

// replica returns the replica with an ID, or nil if it is gone.
func (m *machine) replica(id instanceID) *replica {
	all := m.replicas()
	if at := slices.IndexFunc(all, func(r *replica) bool { return r.instanceID == id }); at >= 0 {
		return all[at]
	}
	return nil
}

func (m *machine) update(id instanceID, f func(*replica)) {
	if r := m.replica(id); r != nil {
		f(r)
	}
}

// serving returns the replicas that receive requests.
func (m *machine) serving() []*replica {
	return slices.DeleteFunc(m.replicas(), func(r *replica) bool { return r.state != Ready })
}

// done reports whether everything that can be stopped has stopped.
func (m *machine) done() bool {
	return m.shuttingDown && m.adopted && len(m.unplaced) == 0 &&
		!slices.ContainsFunc(m.replicas(), func(r *replica) bool { return r.state != Stuck })
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
		g.Drained = false
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
