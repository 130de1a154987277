package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Placement is where a replica runs: an index and its GPU.
type Placement struct {
	Name   string `json:"name"`   // gpu0-0 or cpu-1, for example
	Device string `json:"device"` // UUID of the GPU or MIG instance; empty on the CPU
	GPU    string `json:"gpu"`    // UUID of the GPU, also for a MIG instance
}

func cpuPlacements(replicas int) []Placement {
	placements := make([]Placement, replicas)
	for i := range placements {
		placements[i] = Placement{Name: fmt.Sprintf("cpu-%d", i)}
	}
	return placements
}

// placementState is a placement with its replicas and restart history. It has two replicas only during a start-first
// rollout.
type placementState struct {
	m *machine
	Placement
	deployment *Deployment // what its next replica is made from; nil before adoption
	current    *replica
	next       *replica // the new replica in a start-first rollout

	state    State // as logged last
	since    time.Duration
	failures []time.Duration // within restart.window
	tries    int             // since the last reset
	engine   int             // consecutive engine errors
	retryAt  time.Duration
	failed   bool   // permanently
	reason   string // why the last replica ended
	logs     []string
	restarts int
}

func (s *placementState) replicas() []*replica {
	return slices.DeleteFunc([]*replica{s.current, s.next}, func(r *replica) bool { return r == nil })
}

func (s *placementState) named(name string) bool {
	return s.Name == name || slices.ContainsFunc(s.replicas(), func(r *replica) bool { return r.id == name || r.name == name })
}

// blocked reports whether its GPU is quarantined or drained.
func (s *placementState) blocked() bool { return s.GPU != "" && s.m.gpus[s.GPU].blocked() }

func (s *placementState) blockedReason() string {
	if g := s.m.gpus[s.GPU]; g.Quarantined {
		return "GPU out of use: " + g.Reason
	}
	return "GPU out of use: drained manually"
}

func (s *placementState) stuck() bool { return s.current != nil && s.current.state == Stuck }

func (s *placementState) tick() {
	if s.blocked() {
		for _, r := range s.replicas() {
			r.end(endPlanned, s.blockedReason())
		}
	}
	for _, r := range s.replicas() {
		r.tick()
	}
	if len(s.replicas()) == 0 && s.enabled() && s.m.now >= s.retryAt && s.deployment != nil {
		s.current = s.createReplica(s.deployment)
	}
	s.logState()
}

func (s *placementState) newReplica(state State, generation int) *replica {
	s.m.lastInstance++
	return &replica{
		m: s.m, instanceID: s.m.lastInstance, placement: s, generation: generation, id: replicaID(s.Name, generation),
		state: state, since: s.m.now, startedAt: s.m.now,
	}
}

// createReplica creates a replica and its container.
func (s *placementState) createReplica(d *Deployment) *replica {
	r := s.newReplica(Creating, d.Generation)
	spec := d.spec(s.m.cfg.Name, s.Placement)
	r.deployment, r.name = d, spec.Name
	r.startOp(opCreate, createLimit)
	s.m.do(create{instanceID: r.instanceID, spec: spec})
	return r
}

// enabled reports whether an empty placement gets a replica.
func (s *placementState) enabled() bool { return !s.m.shuttingDown && !s.blocked() && !s.failed }

// displayState is the state shown to users.
func (s *placementState) displayState() State {
	switch {
	case s.current != nil:
		return s.current.state
	case s.GPU != "" && s.m.gpus[s.GPU].Quarantined:
		return Quarantined
	case s.blocked():
		return Drained
	case s.failed:
		return Failed
	case s.m.now < s.retryAt:
		return Backoff
	}
	return Waiting
}

// logState logs a change of state.
func (s *placementState) logState() {
	state := s.displayState()
	if state == s.state {
		return
	}
	args := []any{"replica", s.Name, "state", state, "was", s.state, "after", (s.m.now - s.since).String()}
	reason := s.reason
	if s.current != nil {
		reason = s.current.reason
		args = append(args, "generation", s.current.generation)
	}
	if reason != "" && state != Ready {
		args = append(args, "reason", reason)
	}
	level := slog.LevelInfo
	switch state {
	case Failed, Stuck:
		level = slog.LevelError
		args = append(args, "log", s.logs)
	case Backoff, Unready, Quarantined:
		level = slog.LevelWarn
	}
	s.m.log.Log(context.Background(), level, "replica "+string(state), args...)
	s.state, s.since = state, s.m.now
}

// recordEnd schedules the next replica. It is called when the end is decided, so stopping is part of the backoff.
func (s *placementState) recordEnd(r *replica) {
	s.reason = r.reason
	switch r.cause {
	case endFailure, endGPULost:
		s.failures = slices.DeleteFunc(append(s.failures, s.m.now), func(at time.Duration) bool {
			return s.m.now-at > s.m.cfg.Restart.Window
		})
		s.failed = s.failed || len(s.failures) > s.m.cfg.Restart.Failures
		fallthrough
	case endUnresponsive:
		s.tries++
		s.retryAt = s.m.now + s.backoff(s.tries)
	case endFatal:
		s.failed = true
	case endEngineError:
		s.engine++
		s.retryAt = s.m.now + s.backoff(s.engine)
	case endPlanned:
		s.retryAt = s.m.now
	}
}

// backoff is the wait before a restart: it doubles with each try, with ±20 % jitter so that replicas that failed
// together do not restart together.
func (s *placementState) backoff(try int) time.Duration {
	r := s.m.cfg.Restart
	d := r.MinBackoff
	for n := 1; n < try && d < r.MaxBackoff; n++ {
		d *= 2
	}
	d = min(d, r.MaxBackoff)
	return time.Duration(float64(d) * (0.8 + 0.4*s.m.rand.Float64()))
}

// noteReady is called while the replica is ready, with the time for which it has been.
func (s *placementState) noteReady(d time.Duration) {
	s.engine = 0
	if d >= s.m.cfg.Restart.Reset {
		s.tries, s.failures = 0, nil
	}
}

// resetFailures clears the restart history.
func (s *placementState) resetFailures() {
	s.failed, s.failures, s.tries, s.engine, s.retryAt = false, nil, 0, 0, s.m.now
}

// removeReplica removes a replica that has ended.
func (s *placementState) removeReplica(r *replica) {
	switch r {
	case s.next:
		s.next = nil
	case s.current:
		s.current = nil
		if r.cause != endPlanned {
			s.restarts++
		}
	}
	if r.cause == endFailure || r.cause == endUnresponsive || r.cause == endFatal {
		s.logs = r.logs
		s.m.replicaFailed(s, r)
	}
}
