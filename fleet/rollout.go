package fleet

import (
	"errors"
	"fmt"
	"time"
)

// rollout exchanges the replicas, one place after the other.
type rollout struct {
	target *Deployment
	index  int // of the place that is being exchanged
	phase  phase
	before *Deployment   // what the place's replica was made of
	due    time.Duration // for all tries at the place

	proven  int                   // places at which the new deployment was seen to work
	skipped map[*slot]*Deployment // places that could not try it, and what they had before
}

type phase int

const (
	choosing   phase = iota // how to exchange the next place's replica
	newBeside               // the new one runs beside the old one
	oldLeaving              // the new one is good; the old one is drained
	newAlone                // the old one is gone or going; the new one must come up
)

// deploy begins a roll-out.
func (m *machine) deploy(d Deployment) error {
	switch {
	case m.ending:
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
		if m.roll.index == len(m.slots) {
			if m.roll.proven == 0 {
				m.roll.fail(m, m.slots[0], "no place is free to try it")
				return
			}
			m.log.Info("roll-out is complete", "generation", m.roll.target.Generation)
			m.active, m.target, m.failed, m.roll, m.dirty = m.roll.target, nil, "", nil, true
			return
		}
		if !m.roll.step(m, m.slots[m.roll.index]) {
			return
		}
	}
}

// step tells whether there may be more to do at once.
func (r *rollout) step(m *machine, s *slot) bool {
	if s.blocked() && s.next == nil && r.phase != choosing {
		return r.skip(s)
	}
	switch r.phase {
	case choosing:
		return r.choose(m, s)
	case newBeside:
		return r.compare(m, s)
	case oldLeaving:
		return r.promote(m, s)
	case newAlone:
		return r.await(m, s)
	}
	return false
}

// await waits for the new replica where the old one was. An old one that cannot be stopped holds up only its place.
func (r *rollout) await(m *machine, s *slot) bool {
	isNew := s.cur != nil && s.cur.generation == r.target.Generation
	switch {
	case isNew && s.cur.proven():
		return r.next()
	case s.cur != nil && !isNew && s.cur.state == Stuck:
		return r.skip(s)
	}
	r.check(m, s)
	return false
}

// next leaves a place at which the new replica is good.
func (r *rollout) next() bool {
	r.proven++
	return r.leave()
}

func (r *rollout) leave() bool {
	r.index++
	r.phase, r.before, r.due = choosing, nil, 0
	return true
}

// skip leaves a place that can try nothing now. Its next replica will be of the new deployment, if that is good.
func (r *rollout) skip(s *slot) bool {
	if r.skipped == nil {
		r.skipped = map[*slot]*Deployment{}
	}
	r.skipped[s], s.dep = r.before, r.target
	return r.leave()
}

// choose decides how a place's replica is exchanged.
func (r *rollout) choose(m *machine, s *slot) bool {
	r.before = s.dep
	if s.blocked() || s.cur != nil && s.cur.state == Stuck {
		return r.skip(s)
	}
	if s.cur != nil && s.cur.ending != alive {
		return false
	}
	c := m.cfg
	if r.due == 0 {
		r.due = m.now + c.Health.Start + c.Health.Drain + c.Stop + 10*c.Rollout.Monitor + createLimit
	}
	switch {
	case s.cur != nil && s.cur.generation == r.target.Generation: // as the supervisor before this one began it
		s.dep = r.target
		r.phase = newAlone
	case s.cur != nil && s.cur.state == Ready && m.startFirst(s):
		s.next = s.begin(r.target)
		r.phase = newBeside
	default:
		s.dep = r.target
		s.pardon()
		if s.cur != nil {
			s.cur.end(retired, "replaced by the roll-out")
		}
		r.phase = newAlone
	}
	return true
}

// compare watches the new replica beside the old one.
func (r *rollout) compare(m *machine, s *slot) bool {
	switch {
	case s.next == nil && m.now >= r.due: // The engine never could make it; the old one goes on.
		r.fail(m, s, s.why)
	case s.next == nil && m.now < s.retryAt: // The engine could not make it.
	case s.next == nil:
		r.phase = choosing
		return true
	case s.cur == nil: // The old one fell meanwhile: the new one has its place, and still has to prove itself.
		s.cur, s.next, s.dep = s.next, nil, r.target
		r.phase = newAlone
		return true
	case s.next.ending == alive && s.next.proven():
		s.dep = r.target
		s.cur.end(retired, "replaced by the roll-out")
		r.phase = oldLeaving
	default:
		r.check(m, s)
	}
	return false
}

// promote waits for the old replica's end. One that gets stuck does not hold up the rest.
func (r *rollout) promote(m *machine, s *slot) bool {
	if s.cur != nil && s.cur.state == Stuck {
		m.strays = append(m.strays, s.cur)
		s.cur = nil
	}
	if s.cur != nil {
		return false
	}
	s.cur, s.next = s.next, nil
	return r.next()
}

// proven tells whether it has been ready for long enough.
func (r *replica) proven() bool {
	return r.state == Ready && r.now()-r.readySince >= r.slot.m.cfg.Rollout.Monitor
}

// check ends a roll-out whose new replica never proves itself.
func (r *rollout) check(m *machine, s *slot) {
	if m.now < r.due {
		return
	}
	why := "the new replica was never ready for rollout.monitor, " + m.cfg.Rollout.Monitor.String()
	fresh := s.next
	if fresh == nil {
		fresh = s.cur
	}
	if fresh == nil || fresh.container == "" || fresh.ending == unserved {
		why = s.why // The engine could not make it.
	}
	if fresh != nil {
		fresh.end(retired, why)
	}
	r.fail(m, s, why)
}

// left is told when a replica is gone; one of the roll-out's at the place that is being exchanged makes it fail.
func (m *machine) left(s *slot, gone *replica) {
	r := m.roll
	if r == nil || r.index >= len(m.slots) || m.slots[r.index] != s || gone.generation != r.target.Generation {
		return
	}
	if gone.ending == faulted || gone.ending == fruitless || gone.ending == hopeless {
		r.fail(m, s, gone.why)
	}
}

// fail ends the roll-out. What was exchanged stays; this place gets its old replica back.
func (r *rollout) fail(m *machine, s *slot, why string) {
	m.failed, m.failedLog = fmt.Sprintf("%s: %s", s.Name, why), s.logs
	m.roll, m.dirty = nil, true
	m.log.Error("roll-out failed", "generation", r.target.Generation, "replica", s.Name, "reason", why, "log", s.logs)
	for skipped, before := range r.skipped {
		skipped.dep = before
		for _, unproven := range skipped.replicas() {
			if unproven.generation == r.target.Generation {
				unproven.end(retired, "the roll-out failed")
			}
		}
	}
	if r.before != nil {
		s.dep = r.before
		s.pardon()
	}
}
