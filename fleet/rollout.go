package fleet

import (
	"errors"
	"fmt"
	"time"
)

// rollout exchanges the replicas, one place after the other.
type rollout struct {
	target   *Deployment
	index    int // of the place that is being exchanged
	phase    phase
	previous *Deployment   // what the place's replica was made of
	due      time.Duration // for all tries at the place

	verified int                             // places at which the new deployment was seen to work
	skipped  map[*placementState]*Deployment // places that could not try it, and what they had before
}

type phase int

const (
	phaseChoose   phase = iota // how to exchange the next place's replica
	phaseBeside                // the new one runs beside the old one
	phaseDrainOld              // the new one is good; the old one is drained
	phaseAlone                 // the old one is gone or going; the new one must come up
)

// deploy begins a roll-out.
func (m *machine) deploy(d Deployment) error {
	switch {
	case m.shuttingDown:
		return errors.New("the fleet is being stopped")
	case !m.adopted:
		return errors.New("the engine has not answered yet")
	case m.roll != nil:
		return fmt.Errorf("a roll-out of generation %d is under way", m.roll.target.Generation)
	}
	d.Generation = m.active.Generation + 1
	if m.target != nil {
		d.Generation = max(d.Generation, m.target.Generation+1)
	}
	m.target, m.failed, m.failedLog, m.dirty = &d, "", nil, true
	m.roll = &rollout{target: &d}
	m.log.Info("roll-out begins", "image", d.Image, "generation", d.Generation)
	return nil
}

// advance moves the roll-out on as far as it goes now.
func (m *machine) advance() {
	for m.roll != nil {
		if m.roll.index == len(m.placements) {
			if m.roll.verified == 0 {
				m.roll.fail(m, m.placements[0], "no place is free to try it")
				return
			}
			m.log.Info("roll-out is complete", "generation", m.roll.target.Generation)
			m.active, m.target, m.failed, m.roll, m.dirty = m.roll.target, nil, "", nil, true
			return
		}
		if !m.roll.step(m, m.placements[m.roll.index]) {
			return
		}
	}
}

// step tells whether there may be more to do at once.
func (r *rollout) step(m *machine, s *placementState) bool {
	if s.blocked() && s.next == nil && r.phase != phaseChoose {
		return r.skip(s)
	}
	switch r.phase {
	case phaseChoose:
		return r.choose(m, s)
	case phaseBeside:
		return r.verifyBeside(m, s)
	case phaseDrainOld:
		return r.promote(m, s)
	case phaseAlone:
		return r.await(m, s)
	}
	return false
}

// await waits for the new replica where the old one was. An old one that cannot be stopped holds up only its place.
func (r *rollout) await(m *machine, s *placementState) bool {
	isNew := s.current != nil && s.current.generation == r.target.Generation
	switch {
	case isNew && s.current.verified():
		return r.finishPlacement()
	case s.current != nil && !isNew && s.current.state == Stuck:
		return r.skip(s)
	}
	r.checkDeadline(m, s)
	return false
}

// next leaves a place at which the new replica is good.
func (r *rollout) finishPlacement() bool {
	r.verified++
	return r.nextPlacement()
}

func (r *rollout) nextPlacement() bool {
	r.index++
	r.phase, r.previous, r.due = phaseChoose, nil, 0
	return true
}

// skip leaves a place that can try nothing now. Its next replica will be of the new deployment, if that is good.
func (r *rollout) skip(s *placementState) bool {
	if r.skipped == nil {
		r.skipped = map[*placementState]*Deployment{}
	}
	r.skipped[s], s.deployment = r.previous, r.target
	return r.nextPlacement()
}

// choose decides how a place's replica is exchanged.
func (r *rollout) choose(m *machine, s *placementState) bool {
	r.previous = s.deployment
	if s.blocked() || s.current != nil && s.current.state == Stuck {
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
	case s.current != nil && s.current.generation == r.target.Generation: // as the supervisor before this one began it
		s.deployment = r.target
		r.phase = phaseAlone
	case s.current != nil && s.current.state == Ready && m.startFirst(s):
		s.next = s.newReplica(r.target)
		r.phase = phaseBeside
	default:
		s.deployment = r.target
		s.resetFailures()
		if s.current != nil {
			s.current.end(endPlanned, "replaced by the roll-out")
		}
		r.phase = phaseAlone
	}
	return true
}

// compare watches the new replica beside the old one.
func (r *rollout) verifyBeside(m *machine, s *placementState) bool {
	switch {
	case s.next == nil && m.now >= r.due: // The engine never could make it; the old one goes on.
		r.fail(m, s, s.reason)
	case s.next == nil && m.now < s.retryAt: // The engine could not make it.
	case s.next == nil:
		r.phase = phaseChoose
		return true
	case s.current == nil: // The old one fell meanwhile: the new one has its place, and still has to prove itself.
		s.current, s.next, s.deployment = s.next, nil, r.target
		r.phase = phaseAlone
		return true
	case s.next.cause == notEnding && s.next.verified():
		s.deployment = r.target
		s.current.end(endPlanned, "replaced by the roll-out")
		r.phase = phaseDrainOld
	default:
		r.checkDeadline(m, s)
	}
	return false
}

// promote waits for the old replica's end. One that gets stuck does not hold up the rest.
func (r *rollout) promote(m *machine, s *placementState) bool {
	if s.current != nil && s.current.state == Stuck {
		m.orphans = append(m.orphans, s.current)
		s.current = nil
	}
	if s.current != nil {
		return false
	}
	s.current, s.next = s.next, nil
	return r.finishPlacement()
}

// proven tells whether it has been ready for long enough.
func (r *replica) verified() bool {
	return r.state == Ready && r.now()-r.readySince >= r.placement.m.cfg.Rollout.Monitor
}

// check ends a roll-out whose new replica never proves itself.
func (r *rollout) checkDeadline(m *machine, s *placementState) {
	if m.now < r.due {
		return
	}
	reason := "the new replica was never ready for rollout.monitor, " + m.cfg.Rollout.Monitor.String()
	fresh := s.next
	if fresh == nil {
		fresh = s.current
	}
	if fresh == nil || fresh.container == "" || fresh.cause == endEngineError {
		reason = s.reason // The engine could not make it.
	}
	if fresh != nil {
		fresh.end(endPlanned, reason)
	}
	r.fail(m, s, reason)
}

// left is told when a replica is gone; one of the roll-out's at the place that is being exchanged makes it fail.
func (m *machine) rolloutReplicaEnded(s *placementState, gone *replica) {
	r := m.roll
	if r == nil || r.index >= len(m.placements) || m.placements[r.index] != s || gone.generation != r.target.Generation {
		return
	}
	if gone.cause == endFailure || gone.cause == endUnresponsive || gone.cause == endFatal {
		r.fail(m, s, gone.reason)
	}
}

// fail ends the roll-out. What was exchanged stays; this place gets its old replica back.
func (r *rollout) fail(m *machine, s *placementState, reason string) {
	m.failed, m.failedLog = fmt.Sprintf("%s: %s", s.Name, reason), s.logs
	m.roll, m.dirty = nil, true
	m.log.Error("roll-out failed", "generation", r.target.Generation, "replica", s.Name, "reason", reason, "log", s.logs)
	for skipped, previous := range r.skipped {
		skipped.deployment = previous
		for _, unproven := range skipped.replicas() {
			if unproven.generation == r.target.Generation {
				unproven.end(endPlanned, "the roll-out failed")
			}
		}
	}
	if r.previous != nil {
		s.deployment = r.previous
		s.resetFailures()
	}
}

// startFirst tells whether the new replica may come up beside the old one.
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
	there := uint64(0)
	for _, r := range m.replicas() {
		if r.placement.Device == s.Device && r.state == Ready {
			there++
		}
	}
	one := memory.Used / max(there, 1) // at most what one takes, since others may use the GPU too
	return memory.Used+one <= memory.Total/100*95
}
