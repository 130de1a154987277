package fleet

import "fmt"

// probed takes the answers of /health and /ready. Liveness is /health alone: a full queue, or a model that is gone, is
// no sickness. While it starts, only a server that says itself that it is broken counts.
func (r *replica) probed(o probed) {
	r.probing = false
	health := r.slot.m.cfg.Health
	r.probeDue = r.now() + health.Interval
	if r.state != Ready {
		r.probeDue = r.now() + min(hurry, health.Interval)
	}
	if r.state != Starting && r.state != Ready && r.state != Unready {
		return
	}
	if o.reason != "" {
		r.why = o.reason
	}
	if !r.live(o) {
		return
	}
	if o.ready != silent {
		r.misses(o.lost)
	}
	switch o.ready {
	case good:
		r.mute = 0
		if o.health == good { // both: what answers /ready alone is not the server
			r.enter(Ready)
		}
	case bad:
		r.leave()
	case silent:
		if r.mute++; r.mute >= health.Failures {
			r.leave()
		}
	}
}

// leave takes a ready replica out of service.
func (r *replica) leave() {
	if r.state == Ready {
		r.enter(Unready)
	}
}

// live counts failed probes of /health, and tells whether the replica goes on.
func (r *replica) live(o probed) bool {
	switch {
	case o.health == good:
		r.sick = 0
		return true
	case o.health == silent && r.state == Starting:
		return true
	case o.health == silent:
		r.slot.m.lookNow() // Perhaps its container has ended.
	case o.health == bad:
		r.leave()
	}
	r.sick++
	switch {
	case r.sick < r.slot.m.cfg.Health.Failures:
		return true
	case o.health == silent && r.slot.m.engine != nil: // The way to it may have gone with the engine.
		r.leave()
		return true
	}
	r.end(faulted, fmt.Sprintf("not healthy in %d probes: %s", r.sick, o.reason))
	return false
}

// predicted takes the outcome of a prediction. After one that failed, the next follows soon.
func (r *replica) predicted(o predicted) {
	r.asking = false
	r.askDue = r.now() + r.slot.m.cfg.Health.Canary
	if r.state != Ready {
		return
	}
	switch o.verdict {
	case good:
		r.lies = 0
		r.record.good++
		r.worked()
	case bad:
		r.lies++
		r.record.bad++
		r.askDue = r.now() + r.slot.m.cfg.Health.Interval
	case late:
		r.askDue = r.now() + r.slot.m.cfg.Health.Interval
		r.tooLate(o.reason)
	case silent:
	}
	if r.lies >= r.slot.m.cfg.Health.Failures {
		r.end(faulted, fmt.Sprintf("says that it is ready, and failed %d predictions: %s", r.lies, o.reason))
	}
}
