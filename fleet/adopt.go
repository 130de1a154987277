package fleet

import (
	"cmp"
	"slices"
)

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
