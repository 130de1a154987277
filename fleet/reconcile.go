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
	before := m.engineErr
	m.engineErr = o.err
	switch {
	case o.err != nil:
		m.listDue = m.now + min(time.Second, m.cfg.Engine.Resync)
		if before == nil {
			m.log.Warn("Docker engine unreachable; replicas keep running", "error", o.err.Error())
		}
		return
	case before != nil:
		m.log.Info("Docker engine reachable again")
		m.engineRecovered()
	}
	if !m.adopted {
		m.adopt(o.containers)
		return
	}
	for _, r := range m.replicas() {
		if !slices.ContainsFunc(o.containers, func(c container) bool { return c.id == r.container }) {
			r.vanished(o.since)
		}
	}
	for _, c := range o.containers {
		m.seen(c, o.since)
	}
}

// engineRecovered retries the removal of stuck replicas, and restarts health.unready_timeout for those that may have been
// unreachable only because the Docker engine was.
func (m *machine) engineRecovered() {
	for _, r := range m.replicas() {
		switch r.state {
		case Stuck:
			r.since = m.now - stuckRetry
		case Unready:
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
		m.do(removeUnplaced{id: c.id, grace: m.cfg.StopTimeout})
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
	slices.SortFunc(containers, func(a, b container) int { return cmp.Compare(a.name, b.name) })
	isActive := func(c container) bool { return c.generation == m.active.Generation }
	others := slices.DeleteFunc(slices.Clone(containers), isActive)
	containers = append(slices.DeleteFunc(containers, func(c container) bool { return !isActive(c) }), others...)
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
		m.target = cmp.Or(m.target, m.active)
		m.roll = &rollout{target: m.target}
	}
	if m.shuttingDown {
		m.end() // The command came before the first list.
	}
}

// adoptedProbed reports whether all adopted replicas have been probed once. Until then the gateway does not serve: it
// would reject connections that wait for it since the previous supervisor stopped.
func (m *machine) adoptedProbed() bool {
	return m.adopted && !slices.ContainsFunc(m.replicas(), func(r *replica) bool { return r.state == Starting && r.probeDue == 0 })
}

// assignGenerations gives a deployment the highest generation of its containers if it has none, or a new one if there
// are none or containers of another deployment use it.
func (m *machine) assignGenerations(containers []container) {
	highest := 0
	for _, c := range containers {
		highest = max(highest, c.generation)
	}
	for _, d := range []*Deployment{m.active, m.target} {
		if d == nil {
			continue
		}
		own, others := m.generations(d, containers)
		if d.Generation == 0 && len(own) > 0 {
			d.Generation = slices.Max(own)
		}
		if d.Generation == 0 || slices.Contains(others, d.Generation) {
			d.Generation = highest + 1
		}
		highest = max(highest, d.Generation)
	}
}

// generations returns the generations of placed containers: of a deployment's own, and of the others.
func (m *machine) generations(d *Deployment, containers []container) (own, others []int) {
	for _, s := range m.placements {
		hash := d.hash(m.cfg.Name, s.Placement)
		for _, c := range containers {
			switch {
			case c.placement != s.Name:
			case c.hash == hash:
				own = append(own, c.generation)
			default:
				others = append(others, c.generation)
			}
		}
	}
	return own, others
}

func (s *placementState) adopt(c container) {
	r := s.newReplica(Starting, c.generation)
	r.name, r.container, r.url, r.grpc, r.createdAt = c.name, c.id, c.url, c.grpc, s.m.now
	for _, d := range []*Deployment{s.m.active, s.m.target} {
		if d != nil && d.Generation == c.generation && d.hash(s.m.cfg.Name, s.Placement) == c.hash {
			r.deployment = d
		}
	}
	if r.deployment == nil {
		r.generation = 0 // unknown deployment: to be replaced
	}
	s.current = r
	s.m.log.Info("replica adopted", "placement", s.Name, "container", c.name)
}

// outdated reports whether its replica belongs to no known deployment.
func (s *placementState) outdated() bool { return s.current != nil && s.current.deployment == nil }
