package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fovea/docker"
)

// op is the operation in progress for a replica.
type op int

const (
	opNone op = iota
	opCreate
	opDrain
	opRemove
)

// replica is one container from creation to removal.
type replica struct {
	m          *machine
	seq        replicaSeq
	placement  *placementState
	deployment *Deployment // nil for an adopted container of an unknown deployment
	generation int
	id         string // in the gateway and in status
	name       string // container name
	container  string // container ID, once known
	url        string
	grpc       string // its address for gRPC; empty: none

	state     State
	since     time.Duration
	startedAt time.Duration
	createdAt time.Duration // when its container was known to exist
	reason    string
	logs      []string

	op    op
	opDue time.Duration // deadline of the operation

	cause             endCause
	probePending      bool
	probeDue          time.Duration
	canaryPending     bool
	canaryDue         time.Duration
	livenessFailures  int // consecutive, of /health
	readinessFailures int // consecutive, of /ready
	canaryFailures    int // consecutive
	record            record
	lost              bool
	lostAt            time.Duration // when it first reported that
	everReady         bool
}

func (r *replica) now() time.Duration { return r.m.now }

func (r *replica) setState(s State) {
	if r.state == s {
		return
	}
	r.state, r.since = s, r.now()
	if s == Ready {
		r.everReady = true
		r.reason = ""
		r.readinessFailures = 0
		r.canaryFailures = 0
		r.canaryDue = r.now() + r.m.cfg.Health.Canary
		r.record.streak = streak{lightLoad: true}
	}
}

func (r *replica) startOp(o op, limit time.Duration) { r.op, r.opDue = o, r.now()+limit }

func (r *replica) tick() {
	if r.op != opNone && r.now() >= r.opDue {
		r.abandon()
	}
	switch r.state {
	case Starting:
		if r.now()-r.startedAt >= r.m.cfg.Health.StartTimeout {
			r.end(endFailure, because(fmt.Sprintf("not ready within health.start_timeout (%s)", r.m.cfg.Health.StartTimeout), r.reason))
			return
		}
	case Unready:
		if r.m.engineErr == nil && r.now()-r.since >= r.m.cfg.Health.UnreadyTimeout {
			r.end(endFailure, because(fmt.Sprintf("unready for longer than health.unready_timeout (%s)", r.m.cfg.Health.UnreadyTimeout), r.reason))
			return
		}
	case Ready:
		r.placement.noteReady(r.now() - r.since)
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
		r.m.do(probe{r.seq, r.url})
	}
}

// because adds a reason, if there is one, to a text.
func because(text, reason string) string { return strings.TrimSuffix(text+": "+reason, ": ") }

// runCanary sends a prediction every health.canary: a server may report ready and answer no image.
func (r *replica) runCanary() {
	if canary := r.m.cfg.Health.Canary; canary > 0 && !r.canaryPending && r.now() >= r.canaryDue {
		r.canaryPending = true
		r.record.canarySentAt, r.record.canarySentLoad = r.now(), r.record.gateway.InFlight
		r.m.do(predict{r.seq, r.url})
	}
}

// abandon ends the operation in progress; a late result is ignored.
func (r *replica) abandon() {
	abandoned := r.op
	r.op = opNone
	switch abandoned {
	case opCreate:
		if r.cause != notEnding {
			r.remove()
		}
		r.end(endEngineError, "the Docker engine timed out creating the container")
	case opDrain:
		r.remove()
	case opRemove:
		r.setState(Stuck)
	case opNone:
	}
}

// end terminates the replica. The first cause is kept. Planned ends of replicas that may have requests in flight are
// drained first.
func (r *replica) end(how endCause, reason string) {
	if r.cause != notEnding {
		return
	}
	r.cause, r.reason = how, reason
	r.placement.recordEnd(r)
	switch {
	case r.op == opCreate:
		r.setState(Stopping) // removed once its container is known
	case how == endPlanned && r.state == Unready, (how == endPlanned || how == endGPULost) && r.state == Ready:
		limit := r.m.cfg.Health.Drain
		if r.placement.blocked() && r.m.gpus[r.placement.GPU].Quarantined {
			limit = quarantineDrainLimit
		}
		r.setState(Draining)
		r.startOp(opDrain, limit+callSlack)
		r.m.do(drain{r.seq, r.id, limit})
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
		grace = r.m.cfg.StopTimeout
	}
	r.startOp(opRemove, grace+2*r.m.cfg.Engine.Timeout+callSlack)
	r.m.do(remove{r.seq, cmp.Or(r.container, r.name), grace})
}

func (r *replica) created(o created) {
	if r.op != opCreate {
		return
	}
	r.op = opNone
	r.container, r.url, r.grpc, r.createdAt = o.container, o.url, o.grpc, r.now()
	switch {
	case r.cause != notEnding:
		r.remove()
	case errors.Is(o.err, docker.ErrNoImage) && r.deployment != nil: // The Docker engine's error names the image ID only.
		r.end(o.cause, fmt.Sprintf("image %s: %s", r.deployment.Image, o.err))
	case o.err != nil:
		r.end(o.cause, o.err.Error())
	default:
		r.setState(Starting)
		r.m.requestList() // Its exit may have been reported before its ID was known.
	}
}

func (r *replica) drained(o drained) {
	if r.op != opDrain {
		return
	}
	if o.err != nil {
		r.m.log.Warn("drain timed out; requests cut off", "replica", r.id, "error", o.err.Error())
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

func (r *replica) gone() {
	if slices.Contains(r.m.orphans, r) {
		r.m.orphans = slices.DeleteFunc(r.m.orphans, func(orphan *replica) bool { return orphan == r })
		return
	}
	r.placement.removeReplica(r)
}

// probed applies the result of a probe. /health decides whether the replica is alive, /ready whether it receives
// requests: a full queue or a missing model is not a liveness failure. While it starts, only an explicit failure of
// /health counts.
func (r *replica) probed(o probed) {
	r.probePending = false
	health := r.m.cfg.Health
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
		if o.health == good { // A process that answers /ready alone is not the server.
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

// markUnready takes a ready replica out of service.
func (r *replica) markUnready() {
	if r.state == Ready {
		r.setState(Unready)
	}
}

// checkLiveness counts liveness failures and declares the replica dead after health.failures of them. It reports
// whether the replica is still alive.
func (r *replica) checkLiveness(o probed) bool {
	switch {
	case o.health == good:
		r.livenessFailures = 0
		return true
	case o.health == inconclusive && r.state == Starting:
		return true
	case o.health == inconclusive:
		r.m.requestList() // Its container may have exited.
	case o.health == bad:
		r.markUnready()
	}
	r.livenessFailures++
	switch {
	case r.livenessFailures < r.m.cfg.Health.Failures:
		return true
	case o.health == inconclusive && r.m.engineErr != nil: // The route to it may be down with the Docker engine.
		r.markUnready()
		return true
	}
	r.end(endFailure, because(fmt.Sprintf("failed %d liveness probes", r.livenessFailures), o.reason))
	return false
}

// predicted applies the result of a canary. After a failure the next one follows soon.
func (r *replica) predicted(o predicted) {
	r.canaryPending = false
	r.canaryDue = r.now() + r.m.cfg.Health.Canary
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
		r.canaryDue = r.now() + r.m.cfg.Health.Interval
	case late:
		r.canaryDue = r.now() + r.m.cfg.Health.Interval
		r.canaryLate(o.reason)
	case inconclusive:
	}
	if r.canaryFailures >= r.m.cfg.Health.Failures {
		r.end(endFailure, fmt.Sprintf("ready, but failed %d canaries: %s", r.canaryFailures, o.reason))
	}
}
