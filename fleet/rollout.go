package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// rollout replaces the replicas of one placement after the other by those of a new generation.
type rollout struct {
	target   *Deployment
	index    int // current placement
	phase    phase
	previous *Deployment   // the placement's deployment before
	due      time.Duration // for all attempts at the placement

	verified int                             // placements at which the new generation has proved itself
	skipped  map[*placementState]*Deployment // placements that could not try it, with their deployments before
}

type phase int

const (
	phaseChoose   phase = iota // choose how to replace the next replica
	phaseVerify                // start-first: the new replica runs next to the old one
	phaseDrainOld              // start-first: the new replica is verified, the old one drains
	phaseAlone                 // stop-first: the old replica is gone or going, the new one must come up
)

// deploy starts a rollout.
func (m *machine) deploy(d Deployment) error {
	switch {
	case m.shuttingDown:
		return errors.New("the fleet is shutting down")
	case !m.adopted:
		return errors.New("the engine has not responded yet")
	case m.roll != nil:
		return fmt.Errorf("rollout of generation %d is in progress", m.roll.target.Generation)
	}
	d.Generation = m.active.Generation + 1
	if m.target != nil {
		d.Generation = max(d.Generation, m.target.Generation+1)
	}
	m.target, m.failed, m.failedLog, m.dirty = &d, "", nil, true
	m.roll = &rollout{target: &d}
	m.log.Info("rollout started", "image", d.Image, "generation", d.Generation)
	return nil
}

// advance continues the rollout as far as possible.
func (m *machine) advance() {
	for m.roll != nil && m.roll.index < len(m.placements) {
		if !m.roll.step(m, m.placements[m.roll.index]) {
			return
		}
	}
	switch r := m.roll; {
	case r == nil:
	case r.verified == 0:
		r.fail(m, m.placements[0], "no placement is available")
	default:
		m.log.Info("rollout complete", "generation", r.target.Generation)
		m.active, m.target, m.failed, m.roll, m.dirty = r.target, nil, "", nil, true
	}
}

// step reports whether another step may follow at once.
func (r *rollout) step(m *machine, s *placementState) bool {
	if s.blocked() && s.next == nil && r.phase != phaseChoose {
		return r.skip(s)
	}
	switch r.phase {
	case phaseChoose:
		return r.choose(m, s)
	case phaseVerify:
		return r.verifyNext(m, s)
	case phaseDrainOld:
		return r.promote(m, s)
	case phaseAlone:
		return r.await(m, s)
	}
	return false
}

// await waits for the new replica in place of the old one. If the old one is stuck, the placement is skipped.
func (r *rollout) await(m *machine, s *placementState) bool {
	switch isNew := s.current != nil && s.current.generation == r.target.Generation; {
	case isNew && s.current.verified():
		r.verified++
		return r.nextPlacement()
	case !isNew && s.stuck():
		return r.skip(s)
	}
	r.checkDeadline(m, s)
	return false
}

func (r *rollout) nextPlacement() bool {
	r.index++
	r.phase, r.previous, r.due = phaseChoose, nil, 0
	return true
}

// skip ends a placement at which no replica can start now. Its next replica will be of the new generation, unless the
// rollout fails.
func (r *rollout) skip(s *placementState) bool {
	if r.skipped == nil {
		r.skipped = map[*placementState]*Deployment{}
	}
	r.skipped[s], s.deployment = r.previous, r.target
	return r.nextPlacement()
}

// choose decides how the placement's replica is replaced.
func (r *rollout) choose(m *machine, s *placementState) bool {
	r.previous = s.deployment
	if s.blocked() || s.stuck() {
		return r.skip(s)
	}
	if s.current != nil && s.current.cause != notEnding {
		return false
	}
	c := m.cfg
	if r.due == 0 {
		r.due = m.now + c.Health.Start + c.Health.Drain + c.Stop + 10*c.Rollout.Monitor + createLimit
	}
	switch {
	case s.current != nil && s.current.generation == r.target.Generation: // started by the previous supervisor
		s.deployment = r.target
		r.phase = phaseAlone
	case s.current != nil && s.current.state == Ready && m.startFirst(s):
		s.next = s.createReplica(r.target)
		r.phase = phaseVerify
	default:
		s.deployment = r.target
		s.resetFailures()
		if s.current != nil {
			s.current.end(endPlanned, "replaced by the rollout")
		}
		r.phase = phaseAlone
	}
	return true
}

// verifyNext waits until the new replica has proved itself next to the old one.
func (r *rollout) verifyNext(m *machine, s *placementState) bool {
	switch {
	case s.next == nil && m.now >= r.due: // The engine never created it; the old one stays.
		r.fail(m, s, s.reason)
	case s.next == nil && m.now < s.retryAt: // The engine could not create it; retried later.
	case s.next == nil:
		r.phase = phaseChoose
		return true
	case s.current == nil: // The old one ended meanwhile: the new one takes its place, and still has to prove itself.
		s.current, s.next, s.deployment = s.next, nil, r.target
		r.phase = phaseAlone
		return true
	case s.next.cause == notEnding && s.next.verified():
		s.deployment = r.target
		s.current.end(endPlanned, "replaced by the rollout")
		r.phase = phaseDrainOld
	default:
		r.checkDeadline(m, s)
	}
	return false
}

// promote waits until the old replica is gone. If it is stuck, it becomes an orphan.
func (r *rollout) promote(m *machine, s *placementState) bool {
	if s.stuck() {
		m.orphans = append(m.orphans, s.current)
		s.current = nil
	}
	if s.current != nil {
		return false
	}
	s.current, s.next = s.next, nil
	r.verified++
	return r.nextPlacement()
}

// verified reports whether the replica has been ready for rollout.monitor.
func (r *replica) verified() bool {
	return r.state == Ready && r.now()-r.since >= r.m.cfg.Rollout.Monitor
}

// checkDeadline fails the rollout if the new replica has not proved itself in time.
func (r *rollout) checkDeadline(m *machine, s *placementState) {
	if m.now < r.due {
		return
	}
	reason := "the new replica was not ready for rollout.monitor, " + m.cfg.Rollout.Monitor.String()
	fresh := cmp.Or(s.next, s.current)
	if fresh == nil || fresh.container == "" || fresh.cause == endEngineError {
		reason = s.reason // The engine could not create it.
	}
	if fresh != nil {
		fresh.end(endPlanned, reason)
	}
	r.fail(m, s, reason)
}

// replicaFailed fails the rollout if the replica is the new one of its current placement.
func (m *machine) replicaFailed(s *placementState, gone *replica) {
	r := m.roll
	if r != nil && r.index < len(m.placements) && m.placements[r.index] == s && gone.generation == r.target.Generation {
		r.fail(m, s, gone.reason)
	}
}

// fail ends the rollout. Replaced replicas stay; the current placement returns to its previous deployment.
func (r *rollout) fail(m *machine, s *placementState, reason string) {
	m.failed, m.failedLog = fmt.Sprintf("%s: %s", s.Name, reason), s.logs
	m.roll, m.dirty = nil, true
	m.log.Error("rollout failed", "generation", r.target.Generation, "replica", s.Name, "reason", reason, "log", s.logs)
	for skipped, previous := range r.skipped {
		skipped.deployment = previous
		for _, unproven := range skipped.replicas() {
			if unproven.generation == r.target.Generation {
				unproven.end(endPlanned, "the rollout failed")
			}
		}
	}
	if r.previous != nil {
		s.deployment = r.previous
		s.resetFailures()
	}
}

// startFirst reports whether the new replica may start next to the old one.
func (m *machine) startFirst(s *placementState) bool {
	switch {
	case m.cfg.Rollout.Order != OrderAuto:
		return m.cfg.Rollout.Order == OrderStartFirst
	case s.GPU == "":
		return true
	}
	memory := m.gpus[s.GPU].device.Memory
	if s.Device != s.GPU {
		memory = nil
		for _, in := range m.gpus[s.GPU].device.Instances {
			if in.UUID == s.Device {
				memory = in.Memory
			}
		}
	}
	if memory == nil {
		return false
	}
	there := slices.DeleteFunc(m.serving(), func(r *replica) bool { return r.placement.Device != s.Device })
	one := memory.Used / uint64(max(len(there), 1)) // upper bound for one replica: other programs may use the GPU too
	return memory.Used+one <= memory.Total/100*95
}
