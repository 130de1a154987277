package fleet

import (
	"errors"
	"fmt"
	"time"

	"fovea/docker"
)

// op is the one thing that is being done to a replica.
type op int

const (
	opNone op = iota
	opCreate
	opDrain
	opRemove
)

// replica is one container's life.
type replica struct {
	instanceID instanceID
	placement  *placementState
	deployment *Deployment // nil for one that was adopted and whose making is not known
	generation int
	id         string // to the gateway and to people
	name       string // the container's
	container  string // the container's ID, once known
	url        string

	state      State
	since      time.Duration
	startedAt  time.Duration
	createdAt  time.Duration // when its container was known to be there
	readySince time.Duration
	reason     string
	logs       []string

	op    op
	opDue time.Duration // when the answer is overdue

	cause             endCause
	probePending      bool
	probeDue          time.Duration
	canaryPending     bool // for a prediction
	canaryDue         time.Duration
	livenessFailures  int // probes of /health without success, one after the other
	readinessFailures int // probes of /ready without an answer
	canaryFailures    int // predictions that failed
	record            record
	lost              bool
	lostAt            time.Duration // since when it has said that it does not reach its GPU
	everReady         bool
}

func (r *replica) now() time.Duration { return r.placement.m.now }

func (r *replica) setState(s State) {
	if r.state == s {
		return
	}
	r.state, r.since = s, r.now()
	if s == Ready {
		r.readySince, r.everReady, r.reason, r.readinessFailures, r.canaryFailures = r.now(), true, "", 0, 0
		r.canaryDue = r.now() + r.placement.m.cfg.Health.Canary
		r.record = record{good: r.record.good, bad: r.record.bad, gateway: r.record.gateway, lightLoad: true}
	}
}

func (r *replica) startOp(o op, limit time.Duration) { r.op, r.opDue = o, r.now()+limit }

func (r *replica) tick() {
	if r.op != opNone && r.now() >= r.opDue {
		r.overdue()
	}
	switch r.state {
	case Starting:
		if r.now()-r.startedAt >= r.placement.m.cfg.Health.Start {
			r.end(endFailure, fmt.Sprintf("not ready within health.start, %s: %s", r.placement.m.cfg.Health.Start, r.reason))
			return
		}
	case Unready:
		if r.placement.m.engine == nil && r.now()-r.since >= r.placement.m.cfg.Health.Unready {
			r.end(endFailure, fmt.Sprintf("unready for health.unready, %s: %s", r.placement.m.cfg.Health.Unready, r.reason))
			return
		}
	case Ready:
		r.placement.noteReady(r.now() - r.readySince)
		r.runCanary()
	case Stuck:
		if r.op == opNone && r.now()-r.since >= stuckRetry {
			r.since = r.now()
			r.remove()
		}
		return
	default:
		return
	}
	if !r.probePending && r.now() >= r.probeDue {
		r.probePending = true
		r.placement.m.do(probe{r.instanceID, r.url})
	}
}

// ask has it predict now and then: a server may say that it is ready and answer no image.
func (r *replica) runCanary() {
	if canary := r.placement.m.cfg.Health.Canary; canary > 0 && !r.canaryPending && r.now() >= r.canaryDue {
		r.canaryPending = true
		r.record.canarySentAt, r.record.canarySentLoad = r.now(), r.record.gateway.InFlight
		r.placement.m.do(predict{r.instanceID, r.url})
	}
}

// overdue gives up on what was begun: its answer, if one comes, is not waited for.
func (r *replica) overdue() {
	switch r.op {
	case opCreate:
		r.op = opNone
		if r.cause != notEnding {
			r.remove()
		}
		r.end(endEngineError, "the engine did not make its container in time")
	case opDrain:
		r.op = opNone
		r.remove()
	case opRemove:
		r.op = opNone
		r.setState(Stuck)
	case opNone:
	}
}

// end decides that the replica's life ends. The first reason stays, but for a planned end that turns out a fault.
func (r *replica) end(how endCause, reason string) {
	if r.cause != notEnding {
		return
	}
	r.cause, r.reason = how, reason
	r.placement.recordEnd(r)
	switch {
	case r.op == opCreate:
		r.setState(Stopping) // once its container is known
	case how == endPlanned && r.state == Unready, (how == endPlanned || how == endGPULost) && r.state == Ready:
		limit := r.placement.m.cfg.Health.Drain
		if r.placement.blocked() && r.placement.m.gpus[r.placement.GPU].quarantined {
			limit = quarantineDrainLimit
		}
		r.setState(Draining)
		r.startOp(opDrain, limit+callSlack)
		r.placement.m.do(drain{r.instanceID, r.id, limit})
	default:
		r.remove()
	}
}

func (r *replica) remove() {
	if r.state != Stuck {
		r.setState(Stopping)
	}
	grace := unhealthyStopGrace
	if r.cause == endPlanned {
		grace = r.placement.m.cfg.Stop
	}
	ref := r.container
	if ref == "" {
		ref = r.name
	}
	r.startOp(opRemove, grace+2*r.placement.m.cfg.Engine.Timeout+callSlack)
	r.placement.m.do(remove{r.instanceID, ref, grace})
}

func (r *replica) created(o created) {
	if r.op != opCreate {
		return
	}
	r.op = opNone
	r.container, r.url, r.createdAt = o.container, o.url, r.now()
	switch {
	case r.cause != notEnding:
		r.remove()
	case errors.Is(o.err, docker.ErrNoImage) && r.deployment != nil: // The engine knows it by its ID, people by its name.
		r.end(o.cause, fmt.Sprintf("image %s: %s", r.deployment.Image, o.err))
	case o.err != nil:
		r.end(o.cause, o.err.Error())
	default:
		r.setState(Starting)
		r.placement.m.requestList() // Its end, if it was told already, was not known to be its own.
	}
}

func (r *replica) drained(o drained) {
	if r.op != opDrain {
		return
	}
	if o.err != nil {
		r.placement.m.log.Warn("requests are cut off", "replica", r.id, "error", o.err.Error())
	}
	r.op = opNone
	r.remove()
}

func (r *replica) removed(o removed) {
	if r.op != opRemove {
		return
	}
	r.op = opNone
	if len(o.logs) > 0 {
		r.logs = o.logs
	}
	if o.err != nil {
		r.reason = o.err.Error()
		r.setState(Stuck)
		return
	}
	r.gone()
}

// gone ends the life.
func (r *replica) gone() {
	m := r.placement.m
	for i, orphan := range m.orphans {
		if orphan == r {
			m.orphans = append(m.orphans[:i:i], m.orphans[i+1:]...)
			return
		}
	}
	r.placement.removeReplica(r)
}

// probed takes the answers of /health and /ready. Liveness is /health alone: a full queue, or a model that is gone, is
// no sickness. While it starts, only a server that says itself that it is broken counts.
func (r *replica) probed(o probed) {
	r.probePending = false
	health := r.placement.m.cfg.Health
	r.probeDue = r.now() + health.Interval
	if r.state != Ready {
		r.probeDue = r.now() + min(fastProbeInterval, health.Interval)
	}
	if r.state != Starting && r.state != Ready && r.state != Unready {
		return
	}
	if o.reason != "" {
		r.reason = o.reason
	}
	if !r.checkLiveness(o) {
		return
	}
	if o.ready != inconclusive {
		r.reportGPULost(o.lost)
	}
	switch o.ready {
	case good:
		r.readinessFailures = 0
		if o.health == good { // both: what answers /ready alone is not the server
			r.setState(Ready)
		}
	case bad:
		r.markUnready()
	case inconclusive:
		if r.readinessFailures++; r.readinessFailures >= health.Failures {
			r.markUnready()
		}
	}
}

// leave takes a ready replica out of service.
func (r *replica) markUnready() {
	if r.state == Ready {
		r.setState(Unready)
	}
}

// live counts failed probes of /health, and tells whether the replica goes on.
func (r *replica) checkLiveness(o probed) bool {
	switch {
	case o.health == good:
		r.livenessFailures = 0
		return true
	case o.health == inconclusive && r.state == Starting:
		return true
	case o.health == inconclusive:
		r.placement.m.requestList() // Perhaps its container has ended.
	case o.health == bad:
		r.markUnready()
	}
	r.livenessFailures++
	switch {
	case r.livenessFailures < r.placement.m.cfg.Health.Failures:
		return true
	case o.health == inconclusive && r.placement.m.engine != nil: // The way to it may have gone with the engine.
		r.markUnready()
		return true
	}
	r.end(endFailure, fmt.Sprintf("not healthy in %d probes: %s", r.livenessFailures, o.reason))
	return false
}

// predicted takes the outcome of a prediction. After one that failed, the next follows soon.
func (r *replica) predicted(o predicted) {
	r.canaryPending = false
	r.canaryDue = r.now() + r.placement.m.cfg.Health.Canary
	if r.state != Ready {
		return
	}
	switch o.verdict {
	case good:
		r.canaryFailures = 0
		r.record.good++
		r.noteSuccess()
	case bad:
		r.canaryFailures++
		r.record.bad++
		r.canaryDue = r.now() + r.placement.m.cfg.Health.Interval
	case late:
		r.canaryDue = r.now() + r.placement.m.cfg.Health.Interval
		r.canaryLate(o.reason)
	case inconclusive:
	}
	if r.canaryFailures >= r.placement.m.cfg.Health.Failures {
		r.end(endFailure, fmt.Sprintf("says that it is ready, and failed %d predictions: %s", r.canaryFailures, o.reason))
	}
}
