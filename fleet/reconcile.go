package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fovea/internal/exitcode"
)

func (o listed) apply(m *machine) {
	m.listPending = false
	if m.listDue <= o.since { // otherwise another list was requested meanwhile
		m.listDue = m.now + m.cfg.Engine.Resync
	}
	before := m.engine
	m.engine = o.err
	switch {
	case o.err != nil:
		m.listDue = m.now + min(time.Second, m.cfg.Engine.Resync)
		if before == nil {
			m.log.Warn("Docker engine unreachable; replicas keep running", "error", o.err.Error())
		}
		return
	case before != nil:
		m.log.Info("Docker engine reachable again")
		m.retryStuck()
		m.resetUnready()
	}
	if !m.adopted {
		m.adopt(o.containers)
		return
	}
	for _, r := range m.replicas() {
		at := slices.IndexFunc(o.containers, func(c container) bool { return c.id == r.container })
		if at < 0 {
			r.vanished(o.since)
		}
	}
	for _, c := range o.containers {
		m.seen(c, o.since)
	}
}

// retryStuck retries the removal of stuck replicas once the engine is reachable again.
func (m *machine) retryStuck() {
	for _, r := range m.replicas() {
		if r.state == Stuck {
			r.since = m.now - stuckRetry
		}
	}
}

// resetUnready restarts health.unready for replicas that may have been unreachable only because the engine was.
func (m *machine) resetUnready() {
	for _, r := range m.replicas() {
		if r.state == Unready {
			r.since, r.livenessFailures = m.now, 0
		}
	}
}

// seen compares a container, read at some time after since, with its replica.
func (m *machine) seen(c container, since time.Duration) {
	if !m.adopted {
		return
	}
	for _, r := range m.replicas() {
		if r.container == c.id {
			if r.createdAt <= since { // otherwise the state may be older than its start
				r.seen(c)
			}
			return
		}
		if r.container == "" && r.name == c.name {
			return // It is being created.
		}
	}
	if !m.unplaced[c.id] {
		m.log.Info("removing container without a placement", "container", c.name)
		m.unplaced[c.id] = true
		m.do(removeUnplaced{id: c.id, grace: m.cfg.Stop})
	}
}

// apply applies the result of removing a container without a placement. If it failed, the next list finds the container
// again.
func (o removedUnplaced) apply(m *machine) {
	delete(m.unplaced, o.id)
	if o.err != nil {
		m.log.Warn("cannot remove container without a placement", "container", o.id, "error", o.err.Error())
	}
}

// vanished is called when a list made after since does not contain the container.
func (r *replica) vanished(since time.Duration) {
	switch {
	case r.container == "" || r.createdAt > since:
	case r.state == Stuck && r.op == opNone:
		r.gone()
	case r.state == Starting || r.state == Ready || r.state == Unready:
		r.end(endFailure, "container was removed externally")
	}
}

// seen applies the state of the replica's container.
func (r *replica) seen(c container) {
	if c.paused && r.state == Ready {
		r.reason = "container is paused"
		r.markUnready()
	}
	if c.running || r.cause != notEnding && r.state != Draining {
		return
	}
	reason := fmt.Sprintf("exited with status %d", c.exitCode)
	if c.oom {
		reason += ", out of memory: limits.memory is too low for the model and the load"
	}
	if c.reason != "" {
		reason += ": " + c.reason
	}
	switch {
	case r.state == Draining:
		r.op = opNone
		r.remove()
	case r.op == opCreate:
	case c.exitCode == exitcode.Configuration && !r.everReady:
		r.end(endFatal, reason)
	default:
		r.end(endFailure, reason)
	}
}

// adopt takes over the containers left by the previous supervisor and finds the deployment of each.
func (m *machine) adopt(containers []container) {
	m.adopted, m.dirty = true, true
	m.assignGenerations(containers)
	// The active deployment first: if a placement has two containers, that one is known to work.
	slices.SortFunc(containers, func(a, b container) int {
		switch aActive, bActive := a.generation == m.active.Generation, b.generation == m.active.Generation; {
		case aActive == bActive:
			return cmp.Compare(a.name, b.name)
		case aActive:
			return -1
		}
		return 1
	})
	for _, s := range m.placements {
		s.deployment = m.active
		for _, c := range containers {
			if c.placement == s.Name && c.running && c.url != "" && s.current == nil {
				s.adopt(c)
			}
		}
	}
	for _, c := range containers {
		m.seen(c, m.now)
	}
	if m.failed == "" && (m.target != nil || slices.ContainsFunc(m.placements, (*placementState).outdated)) {
		if m.target == nil {
			m.target = m.active
		}
		m.roll = &rollout{target: m.target}
	}
	if m.shuttingDown {
		m.end() // The command came before the first list.
	}
}

// adoptedProbed reports whether all adopted replicas have been probed once. Until then the gateway does not serve: it
// would reject connections that wait for it since the previous supervisor stopped.
func (m *machine) adoptedProbed() bool {
	for _, r := range m.replicas() {
		if r.state == Starting && r.probeDue == 0 {
			return false
		}
	}
	return m.adopted
}

// assignGenerations gives a deployment a new generation if it has none, or if other containers already use it.
func (m *machine) assignGenerations(containers []container) {
	highest := 0
	for _, c := range containers {
		highest = max(highest, c.generation)
	}
	for _, d := range []*Deployment{m.active, m.target} {
		if d == nil {
			continue
		}
		if d.Generation == 0 {
			d.Generation = m.existingGeneration(d, containers)
		}
		if d.Generation == 0 || m.generationTaken(d, containers) {
			d.Generation = highest + 1
		}
		highest = max(highest, d.Generation)
	}
}

// existingGeneration returns the highest generation of a deployment's containers, or 0 if there are none.
func (m *machine) existingGeneration(d *Deployment, containers []container) int {
	generation := 0
	m.eachPlaced(containers, func(c container, p Placement) {
		if d.hash(m.cfg.Name, p) == c.hash {
			generation = max(generation, c.generation)
		}
	})
	return generation
}

// generationTaken reports whether containers of another deployment use a deployment's generation.
func (m *machine) generationTaken(d *Deployment, containers []container) bool {
	taken := false
	m.eachPlaced(containers, func(c container, p Placement) {
		taken = taken || c.generation == d.Generation && d.hash(m.cfg.Name, p) != c.hash
	})
	return taken
}

// eachPlaced calls f for each container that has a placement.
func (m *machine) eachPlaced(containers []container, f func(container, Placement)) {
	for _, c := range containers {
		for _, s := range m.placements {
			if c.placement == s.Name {
				f(c, s.Placement)
			}
		}
	}
}

func (s *placementState) adopt(c container) {
	s.m.lastInstance++
	r := &replica{
		m: s.m, instanceID: s.m.lastInstance, placement: s, generation: c.generation, id: replicaID(s.Name, c.generation), name: c.name, container: c.id,
		url: c.url, state: Starting, since: s.m.now, startedAt: s.m.now, createdAt: s.m.now,
	}
	for _, d := range []*Deployment{s.m.active, s.m.target} {
		if d != nil && d.Generation == c.generation && d.hash(s.m.cfg.Name, s.Placement) == c.hash {
			r.deployment = d
		}
	}
	if r.deployment == nil {
		r.generation = 0 // unknown deployment: to be replaced
	}
	s.current = r
	s.m.log.Info("replica adopted", "replica", s.Name, "container", c.name)
}

// outdated reports whether its replica belongs to no known deployment.
func (s *placementState) outdated() bool { return s.current != nil && s.current.deployment == nil }
