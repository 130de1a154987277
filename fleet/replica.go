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
	life       life
	slot       *slot
	dep        *Deployment // nil for one that was adopted and whose making is not known
	generation int
	id         string // to the gateway and to people
	name       string // the container's
	container  string // the container's ID, once known
	url        string

	state      State
	since      time.Duration
	born       time.Duration
	made       time.Duration // when its container was known to be there
	readySince time.Duration
	why        string
	logs       []string

	op    op
	opDue time.Duration // when the answer is overdue

	ending    end
	probing   bool
	probeDue  time.Duration
	asking    bool // for a prediction
	askDue    time.Duration
	sick      int // probes of /health without success, one after the other
	mute      int // probes of /ready without an answer
	lies      int // predictions that failed
	record    record
	lost      bool
	lostAt    time.Duration // since when it has said that it does not reach its GPU
	everReady bool
}

func (r *replica) now() time.Duration { return r.slot.m.now }

func (r *replica) enter(s State) {
	if r.state == s {
		return
	}
	r.state, r.since = s, r.now()
	if s == Ready {
		r.readySince, r.everReady, r.why, r.mute, r.lies = r.now(), true, "", 0, 0
		r.askDue = r.now() + r.slot.m.cfg.Health.Canary
		r.record = record{good: r.record.good, bad: r.record.bad, gateway: r.record.gateway, calm: true}
	}
}

func (r *replica) begin(o op, limit time.Duration) { r.op, r.opDue = o, r.now()+limit }

func (r *replica) tick() {
	if r.op != opNone && r.now() >= r.opDue {
		r.overdue()
	}
	switch r.state {
	case Starting:
		if r.now()-r.born >= r.slot.m.cfg.Health.Start {
			r.end(faulted, fmt.Sprintf("not ready within health.start, %s: %s", r.slot.m.cfg.Health.Start, r.why))
			return
		}
	case Unready:
		if r.slot.m.engine == nil && r.now()-r.since >= r.slot.m.cfg.Health.Unready {
			r.end(faulted, fmt.Sprintf("unready for health.unready, %s: %s", r.slot.m.cfg.Health.Unready, r.why))
			return
		}
	case Ready:
		r.slot.well(r.now() - r.readySince)
		r.ask()
	case Stuck:
		if r.op == opNone && r.now()-r.since >= stuckRetry {
			r.since = r.now()
			r.remove()
		}
		return
	default:
		return
	}
	if !r.probing && r.now() >= r.probeDue {
		r.probing = true
		r.slot.m.do(probe{r.life, r.url})
	}
}

// ask has it predict now and then: a server may say that it is ready and answer no image.
func (r *replica) ask() {
	if canary := r.slot.m.cfg.Health.Canary; canary > 0 && !r.asking && r.now() >= r.askDue {
		r.asking = true
		r.record.askedAt, r.record.askedBy = r.now(), r.record.gateway.InFlight
		r.slot.m.do(predict{r.life, r.url})
	}
}

// overdue gives up on what was begun: its answer, if one comes, is not waited for.
func (r *replica) overdue() {
	switch r.op {
	case opCreate:
		r.op = opNone
		if r.ending != alive {
			r.remove()
		}
		r.end(unserved, "the engine did not make its container in time")
	case opDrain:
		r.op = opNone
		r.remove()
	case opRemove:
		r.op = opNone
		r.enter(Stuck)
	case opNone:
	}
}

// end decides that the replica's life ends. The first reason stays, but for a planned end that turns out a fault.
func (r *replica) end(how end, why string) {
	if r.ending != alive {
		return
	}
	r.ending, r.why = how, why
	r.slot.ended(r)
	switch {
	case r.op == opCreate:
		r.enter(Stopping) // once its container is known
	case how == retired && r.state == Unready, (how == retired || how == detached) && r.state == Ready:
		limit := r.slot.m.cfg.Health.Drain
		if r.slot.blocked() && r.slot.m.gpus[r.slot.GPU].quarantined {
			limit = sickDrain
		}
		r.enter(Draining)
		r.begin(opDrain, limit+callSlack)
		r.slot.m.do(drain{r.life, r.id, limit})
	default:
		r.remove()
	}
}

func (r *replica) remove() {
	if r.state != Stuck {
		r.enter(Stopping)
	}
	grace := sickGrace
	if r.ending == retired {
		grace = r.slot.m.cfg.Stop
	}
	ref := r.container
	if ref == "" {
		ref = r.name
	}
	r.begin(opRemove, grace+2*r.slot.m.cfg.Engine.Timeout+callSlack)
	r.slot.m.do(remove{r.life, ref, grace})
}

func (r *replica) created(o created) {
	if r.op != opCreate {
		return
	}
	r.op = opNone
	r.container, r.url, r.made = o.container, o.url, r.now()
	switch {
	case r.ending != alive:
		r.remove()
	case errors.Is(o.err, docker.ErrNoImage) && r.dep != nil: // The engine knows it by its ID, people by its name.
		r.end(o.why, fmt.Sprintf("image %s: %s", r.dep.Image, o.err))
	case o.err != nil:
		r.end(o.why, o.err.Error())
	default:
		r.enter(Starting)
		r.slot.m.lookNow() // Its end, if it was told already, was not known to be its own.
	}
}

func (r *replica) drained(o drained) {
	if r.op != opDrain {
		return
	}
	if o.err != nil {
		r.slot.m.log.Warn("requests are cut off", "replica", r.id, "error", o.err.Error())
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
		r.why = o.err.Error()
		r.enter(Stuck)
		return
	}
	r.gone()
}

// gone ends the life.
func (r *replica) gone() {
	m := r.slot.m
	for i, stray := range m.strays {
		if stray == r {
			m.strays = append(m.strays[:i:i], m.strays[i+1:]...)
			return
		}
	}
	r.slot.forget(r)
}
