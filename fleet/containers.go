package fleet

import (
	"fmt"
	"slices"
	"time"

	"fovea/internal/exitcode"
)

func (m *machine) listed(o listed) {
	m.listPending = false
	if m.listDue <= o.since { // else another was asked for meanwhile
		m.listDue = m.now + m.cfg.Engine.Resync
	}
	if o.err != nil {
		m.listDue = m.now + min(time.Second, m.cfg.Engine.Resync)
	} else if m.engine != nil {
		m.retryStuck()
		m.resetUnready()
	}
	if (o.err == nil) != (m.engine == nil) {
		if o.err != nil {
			m.log.Warn("the engine does not answer; replicas go on without it", "error", o.err.Error())
		} else {
			m.log.Info("the engine answers again")
		}
	}
	m.engine = o.err
	if o.err != nil {
		return
	}
	if !m.adopted {
		m.adopt(o.containers)
		return
	}
	for _, r := range m.replicas() {
		at := slices.IndexFunc(o.containers, func(c container) bool { return c.id == r.container })
		if at < 0 {
			r.vanished(o.since)
		}
	}
	for _, c := range o.containers {
		m.seen(c, o.since)
	}
}

// retryStuck asks for the end of what is stuck again, now that the engine answers.
func (m *machine) retryStuck() {
	for _, r := range m.replicas() {
		if r.state == Stuck {
			r.since = m.now - stuckRetry
		}
	}
}

// reprieve gives what could not be reached without the engine its time to answer anew.
func (m *machine) resetUnready() {
	for _, r := range m.replicas() {
		if r.state == Unready {
			r.since, r.livenessFailures = m.now, 0
		}
	}
}

// seen compares a container, as it was at some time after since, with what is known of it.
func (m *machine) seen(c container, since time.Duration) {
	if !m.adopted {
		return
	}
	for _, r := range m.replicas() {
		if r.container == c.id {
			if r.createdAt <= since { // else this may be older than its start
				r.seen(c)
			}
			return
		}
		if r.container == "" && r.name == c.name {
			return // It is being made.
		}
	}
	if !m.unplaced[c.id] {
		m.log.Info("removing a container that has no place", "container", c.name)
		m.unplaced[c.id] = true
		m.do(removeUnplaced{id: c.id, grace: m.cfg.Stop})
	}
}

// removedExtra is told how the removal of a container without a place went. One that is still there is seen again.
func (m *machine) removedUnplaced(o removedUnplaced) {
	delete(m.unplaced, o.id)
	if o.err != nil {
		m.log.Warn("a container without a place cannot be removed", "container", o.id, "error", o.err.Error())
	}
}

// vanished is told when the container is not among those that there were after a time.
func (r *replica) vanished(since time.Duration) {
	switch {
	case r.container == "" || r.createdAt > since:
	case r.state == Stuck && r.op == opNone:
		r.gone()
	case r.state == Starting || r.state == Ready || r.state == Unready:
		r.end(endFailure, "its container was removed by someone")
	}
}

// seen is told what the engine says of the container.
func (r *replica) seen(c container) {
	if c.paused && r.state == Ready {
		r.reason = "its container is paused"
		r.markUnready()
	}
	if c.running || r.cause != notEnding && r.state != Draining {
		return
	}
	reason := fmt.Sprintf("ended with status %d", c.exitCode)
	if c.oom {
		reason += ", out of memory: limits.memory is too low for the model and the load"
	}
	if c.reason != "" {
		reason += ": " + c.reason
	}
	switch {
	case r.state == Draining:
		r.op = opNone
		r.remove()
	case r.op == opCreate:
	case c.exitCode == exitcode.Configuration && !r.everReady:
		r.end(endFatal, reason)
	default:
		r.end(endFailure, reason)
	}
}
