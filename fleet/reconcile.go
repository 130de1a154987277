package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fovea/internal/exitcode"
)

func (m *machine) listed(o listed) {
	m.listPending = false
	if m.listDue <= o.since { // else another was asked for meanwhile
		m.listDue = m.now + m.cfg.Engine.Resync
	}
	if o.err != nil {
		m.listDue = m.now + min(time.Second, m.cfg.Engine.Resync)
	} else if m.engine != nil {
		m.retryStuck()
		m.resetUnready()
	}
	if (o.err == nil) != (m.engine == nil) {
		if o.err != nil {
			m.log.Warn("the engine does not answer; replicas go on without it", "error", o.err.Error())
		} else {
			m.log.Info("the engine answers again")
		}
	}
	m.engine = o.err
	if o.err != nil {
		return
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

// retryStuck asks for the end of what is stuck again, now that the engine answers.
func (m *machine) retryStuck() {
	for _, r := range m.replicas() {
		if r.state == Stuck {
			r.since = m.now - stuckRetry
		}
	}
}

// reprieve gives what could not be reached without the engine its time to answer anew.
func (m *machine) resetUnready() {
	for _, r := range m.replicas() {
		if r.state == Unready {
			r.since, r.livenessFailures = m.now, 0
		}
	}
}

// seen compares a container, as it was at some time after since, with what is known of it.
func (m *machine) seen(c container, since time.Duration) {
	if !m.adopted {
		return
	}
	for _, r := range m.replicas() {
		if r.container == c.id {
			if r.createdAt <= since { // else this may be older than its start
				r.seen(c)
			}
			return
		}
		if r.container == "" && r.name == c.name {
			return // It is being made.
		}
	}
	if !m.unplaced[c.id] {
		m.log.Info("removing a container that has no place", "container", c.name)
		m.unplaced[c.id] = true
		m.do(removeUnplaced{id: c.id, grace: m.cfg.Stop})
	}
}

// removedExtra is told how the removal of a container without a place went. One that is still there is seen again.
func (m *machine) removedUnplaced(o removedUnplaced) {
	delete(m.unplaced, o.id)
	if o.err != nil {
		m.log.Warn("a container without a place cannot be removed", "container", o.id, "error", o.err.Error())
	}
}

// vanished is told when the container is not among those that there were after a time.
func (r *replica) vanished(since time.Duration) {
	switch {
	case r.container == "" || r.createdAt > since:
	case r.state == Stuck && r.op == opNone:
		r.gone()
	case r.state == Starting || r.state == Ready || r.state == Unready:
		r.end(endFailure, "its container was removed by someone")
	}
}

// seen is told what the engine says of the container.
func (r *replica) seen(c container) {
	if c.paused && r.state == Ready {
		r.reason = "its container is paused"
		r.markUnready()
	}
	if c.running || r.cause != notEnding && r.state != Draining {
		return
	}
	reason := fmt.Sprintf("ended with status %d", c.exitCode)
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

// adopt takes over the containers that a supervisor before this one has left, and finds out what each is made of.
func (m *machine) adopt(containers []container) {
	m.adopted, m.dirty = true, true
	m.assignGenerations(containers)
	// The active deployment's first: of two at one place, it is known to work.
	slices.SortFunc(containers, func(a, b container) int {
		return cmp.Or(-compareBool(a.generation == m.active.Generation, b.generation == m.active.Generation), cmp.Compare(a.name, b.name))
	})
	for _, s := range m.placements {
		s.deployment = m.active
		for _, c := range containers {
			if c.place == s.Name && c.running && c.url != "" && s.current == nil {
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
		m.end() // It was told to before the engine answered.
	}
}

// settled tells whether all that were adopted have been asked how they are. Before that, a gateway would refuse requests
// that wait for it since the last supervisor ended.
func (m *machine) adoptedProbed() bool {
	for _, r := range m.replicas() {
		if r.state == Starting && r.probeDue == 0 {
			return false
		}
	}
	return m.adopted
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// settle gives a deployment that has no generation yet, or one that other containers bear already, a new one.
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

// borne is the highest generation of containers that are of a deployment, and 0 when there is none.
func (m *machine) existingGeneration(d *Deployment, containers []container) int {
	generation := 0
	m.eachPlaced(containers, func(c container, p Placement) {
		if d.hash(m.cfg.Name, p) == c.hash {
			generation = max(generation, c.generation)
		}
	})
	return generation
}

// taken tells whether containers of something else bear a deployment's generation.
func (m *machine) generationTaken(d *Deployment, containers []container) bool {
	taken := false
	m.eachPlaced(containers, func(c container, p Placement) {
		taken = taken || c.generation == d.Generation && d.hash(m.cfg.Name, p) != c.hash
	})
	return taken
}

// each goes over the containers for which there is a place.
func (m *machine) eachPlaced(containers []container, f func(container, Placement)) {
	for _, c := range containers {
		for _, s := range m.placements {
			if c.place == s.Name {
				f(c, s.Placement)
			}
		}
	}
}

func (s *placementState) adopt(c container) {
	s.m.lastInstance++
	r := &replica{
		instanceID: s.m.lastInstance, placement: s, generation: c.generation, id: replicaID(s.Name, c.generation), name: c.name, container: c.id,
		url: c.url, state: Starting, since: s.m.now, startedAt: s.m.now, createdAt: s.m.now,
	}
	for _, d := range []*Deployment{s.m.active, s.m.target} {
		if d != nil && d.Generation == c.generation && d.hash(s.m.cfg.Name, s.Placement) == c.hash {
			r.deployment = d
		}
	}
	if r.deployment == nil {
		r.generation = 0 // of no deployment that is known: to be replaced
	}
	s.current = r
	s.m.log.Info("replica is adopted", "replica", s.Name, "container", c.name)
}

// outdated tells whether its replica is made of something else than it should be.
func (s *placementState) outdated() bool { return s.current != nil && s.current.deployment == nil }
