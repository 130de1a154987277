package fleet

import (
	"time"
)

// slot is a place and who is there. Only a roll-out that starts first has two replicas at one place for a while.
type slot struct {
	m *machine
	Place
	dep  *Deployment // what its next replica is made of; nil before adoption
	cur  *replica
	next *replica // the new one, in a roll-out that starts first

	state    State // as told last
	since    time.Duration
	failures []time.Duration // within the window
	tries    int             // since it was last well for long
	engine   int             // times that the engine failed, one after the other
	retryAt  time.Duration
	failed   bool   // for good
	why      string // why the last replica ended
	logs     []string
	restarts int
}

func (s *slot) replicas() []*replica {
	var list []*replica
	for _, r := range []*replica{s.cur, s.next} {
		if r != nil {
			list = append(list, r)
		}
	}
	return list
}

func (s *slot) named(name string) bool {
	if s.Name == name {
		return true
	}
	for _, r := range s.replicas() {
		if r.id == name || r.name == name {
			return true
		}
	}
	return false
}

// blocked tells whether its GPU takes no replica now.
func (s *slot) blocked() bool { return s.GPU != "" && s.m.gpus[s.GPU].blocked() }

func (s *slot) outOfUse() string { return "its GPU is out of use: " + s.m.gpus[s.GPU].text() }

func (s *slot) tick() {
	if s.blocked() {
		for _, r := range s.replicas() {
			r.end(retired, s.outOfUse())
		}
	}
	for _, r := range s.replicas() {
		r.tick()
	}
	if s.cur == nil && s.next == nil && s.mayTry() {
		s.cur = s.begin(s.dep)
	}
	s.tell()
}

func (s *slot) mayTry() bool {
	return s.mayCome() && s.m.now >= s.retryAt && s.dep != nil
}

// begin starts the life of a replica.
func (s *slot) begin(d *Deployment) *replica {
	s.m.lives++
	r := &replica{
		life: s.m.lives, slot: s, dep: d, generation: d.Generation, id: replicaID(s.Name, d.Generation),
		state: Creating, since: s.m.now, born: s.m.now, op: opCreate, opDue: s.m.now + createLimit,
	}
	spec := d.spec(s.m.cfg.Name, s.Place)
	r.name = spec.Name
	s.m.do(create{life: r.life, spec: spec})
	return r
}

// display is the state that people are shown.
func (s *slot) display() State {
	switch {
	case s.cur != nil:
		return s.cur.state
	case s.GPU != "" && s.m.gpus[s.GPU].quarantined:
		return Quarantined
	case s.blocked():
		return Drained
	case s.failed:
		return Failed
	case s.m.now < s.retryAt:
		return BackOff
	}
	return Waiting
}

// tell logs a change of state, once, with the old one.
func (s *slot) tell() {
	state := s.display()
	if state == s.state {
		return
	}
	args := []any{"replica", s.Name, "state", state.String(), "was", s.state.String(), "after", (s.m.now - s.since).String()}
	why := s.why
	if s.cur != nil {
		why = s.cur.why
		args = append(args, "generation", s.cur.generation)
	}
	if why != "" && state != Ready {
		args = append(args, "reason", why)
	}
	switch state {
	case Failed, Stuck:
		s.m.log.Error("replica is "+state.String(), append(args, "log", s.logs)...)
	case BackOff, Unready, Quarantined:
		s.m.log.Warn("replica is "+state.String(), args...)
	default:
		s.m.log.Info("replica is "+state.String(), args...)
	}
	s.state, s.since = state, s.m.now
}

// ended counts the end of a replica as soon as it is decided, so that the time to stop it is part of the pause.
func (s *slot) ended(r *replica) {
	s.why = r.why
	switch r.ending {
	case faulted, detached:
		s.fault()
	case fruitless:
		s.tries++
		s.retryAt = s.m.now + s.pause(s.tries)
	case hopeless:
		s.failed = true
	case unserved:
		s.engine++
		s.retryAt = s.m.now + s.pause(s.engine)
	case retired:
		s.retryAt = s.m.now
	}
}

func (s *slot) fault() {
	r := s.m.cfg.Restart
	s.tries++
	s.failures = append(s.failures, s.m.now)
	for len(s.failures) > 0 && s.m.now-s.failures[0] > r.Window {
		s.failures = s.failures[1:]
	}
	if len(s.failures) > r.Failures {
		s.failed = true
	}
	s.retryAt = s.m.now + s.pause(s.tries)
}

// pause is the back-off before a try: it doubles, and varies by a fifth either way so that replicas which fell together
// do not come back together.
func (s *slot) pause(try int) time.Duration {
	r := s.m.cfg.Restart
	d := r.MinBackoff
	for range try - 1 {
		if d >= r.MaxBackoff {
			break
		}
		d *= 2
	}
	d = min(d, r.MaxBackoff)
	return time.Duration(float64(d) * (0.8 + 0.4*s.m.rand.Float64()))
}

// well is told while the replica is ready, for how long.
func (s *slot) well(d time.Duration) {
	s.engine = 0
	if d >= s.m.cfg.Restart.Reset {
		s.tries, s.failures = 0, nil
	}
}

// pardon forgets all failures.
func (s *slot) pardon() {
	s.failed, s.failures, s.tries, s.engine, s.retryAt = false, nil, 0, 0, s.m.now
}

// forget takes a replica away that has ended.
func (s *slot) forget(r *replica) {
	switch r {
	case s.next:
		s.next = nil
	case s.cur:
		s.cur = nil
		if r.ending != retired {
			s.restarts++
		}
	}
	if r.ending == faulted || r.ending == fruitless || r.ending == hopeless {
		s.logs = r.logs
	}
	s.m.left(s, r)
}
