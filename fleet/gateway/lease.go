package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// acquire takes a place at the replica with the fewest requests in flight, those that are silent or refused requests a
// moment ago last, and none at those that were tried. It returns nil when there is none. The caller releases the place.
func (p *Balancer) acquire(tried ...*member) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var best *member
	var bestAt int
	for i := range p.listed {
		at := (p.next + i) % len(p.listed)
		m := p.listed[at]
		if m.draining || slices.Contains(tried, m) {
			continue
		}
		if best == nil || m.before(best, now) {
			best, bestAt = m, at
		}
	}
	if best != nil {
		p.next = bestAt + 1
		best.inFlight++
	}
	return best
}

// spare acquires a place only where another replica that was not tried stands ready beside. Alone tells that there is none
// but those that were tried.
func (p *Balancer) spare(tried ...*member) (m *member, alone bool) {
	p.mu.Lock()
	ready, now := 0, p.now()
	for _, m := range p.listed {
		if !slices.Contains(tried, m) && m.rank(now) == 0 {
			ready++
		}
	}
	p.mu.Unlock()
	if ready < 2 {
		return nil, ready == 0
	}
	return p.acquire(tried...), false
}

// before says whether m is the better choice.
func (m *member) before(o *member, now time.Time) bool {
	if mine, others := m.rank(now), o.rank(now); mine != others {
		return mine < others
	}
	return m.inFlight < o.inFlight
}

// rank is the lower the more can be expected.
func (m *member) rank(now time.Time) int {
	switch {
	case m.draining:
		return 4
	case m.silent:
		return 3
	case now.Before(m.refusing):
		return 2
	case m.quiet:
		return 1
	}
	return 0
}

// again takes another place at the same replica, unless it should get no more requests.
func (p *Balancer) again(m *member) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.draining || m.left {
		return false
	}
	m.inFlight++
	return true
}

// release gives a place back.
func (p *Balancer) release(m *member) {
	p.mu.Lock()
	m.inFlight--
	done := m.inFlight == 0
	if done && m.idle != nil {
		close(m.idle)
		m.idle = nil
	}
	forgotten := done && m.left
	if forgotten {
		p.leaving = slices.DeleteFunc(p.leaving, func(o *member) bool { return o == m })
	}
	p.mu.Unlock()
	if forgotten {
		p.forgot(m.id)
	}
}

// refused notes that the replica took no request.
func (p *Balancer) refused(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.shun(p.now().Add(shun))
}

func (m *member) shun(until time.Time) {
	if until.After(m.refusing) {
		m.refusing = until
	}
}

// answered notes how a request ended that no client is to blame for. A replica that fails one after the other is shunned.
func (p *Balancer) answered(m *member, well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if well {
		m.good++
		m.streak = 0
		return
	}
	m.bad++
	m.streak++
	if over := m.streak - streaks; over >= 0 {
		m.shun(p.now().Add(min(shun<<min(over, 10), longestShun)))
	}
}

// ready counts the replicas that get requests.
func (p *Balancer) ready() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, m := range p.listed {
		if !m.draining {
			n++
		}
	}
	return n
}

// Drain gives the replica no more requests from this moment on, and waits until it has none in flight or ctx ends.
// It stays drained until Add or Remove, also when it returns an error. An ID that isn't known has nothing in flight.
func (p *Balancer) Drain(ctx context.Context, id string) error {
	p.mu.Lock()
	for _, m := range p.listed {
		if m.id == id {
			m.draining = true
		}
	}
	p.mu.Unlock()
	for {
		idle := p.idle(id)
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("replica %q has %d requests in flight: %w", id, p.InFlight(id), context.Cause(ctx))
		}
	}
}

// idle returns a channel that is closed when one of the members with this ID that have requests in flight has none;
// nil when all have none.
func (p *Balancer) idle(id string) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.all() {
		if m.id != id || m.inFlight == 0 {
			continue
		}
		if m.idle == nil {
			m.idle = make(chan struct{})
		}
		return m.idle
	}
	return nil
}
