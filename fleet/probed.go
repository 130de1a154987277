package fleet

import "fmt"

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
