package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// minCooldown is how long a backend that refused a request gets none while there is another. Without it, a backend that
	// is gone would have the fewest requests in flight and attract all of them.
	minCooldown = time.Second

	// failureThreshold is the number of consecutive failed requests after which a backend cools down: for minCooldown, doubled
	// by each further failure up to maxCooldown.
	failureThreshold = 3
	maxCooldown      = 8 * time.Second
)

// Balancer chooses a backend for each request. It is safe for concurrent use.
type Balancer struct {
	mu      sync.Mutex
	listed  []*backend // in rotation
	removed []*backend // out of rotation, with requests still in flight
	next    int        // where the next search begins, so that equal backends take turns
	now     func() time.Time
	epoch   time.Time       // start of clock
	onGone  func(id string) // called without the lock when a removed backend has nothing in flight
}

func newBalancer(now func() time.Time, onGone func(string)) *Balancer {
	return &Balancer{now: now, epoch: now().Add(-time.Nanosecond), onGone: onGone}
}

// clock is the time since the balancer was made, never 0.
func (lb *Balancer) clock() time.Duration { return lb.now().Sub(lb.epoch) }

// Set replaces the list of replicas that get requests. One that is no longer listed finishes the requests in flight and gets
// no more. One that is draining stays so, since the list may be older than the drain. If any replica is invalid, nothing
// changes and the error names all of them.
func (lb *Balancer) Set(replicas []Replica) error {
	wanted := make([]*backend, 0, len(replicas))
	var errs []error
	for _, r := range replicas {
		b, err := newBackend(r)
		switch {
		case err != nil:
			errs = append(errs, err)
		case slices.ContainsFunc(wanted, b.sameID):
			errs = append(errs, fmt.Errorf("replica %q is listed twice", r.ID))
		default:
			wanted = append(wanted, b)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	lb.mu.Lock()
	for i, w := range wanted {
		if at := slices.IndexFunc(lb.listed, w.same); at >= 0 {
			wanted[i] = lb.listed[at]
		}
	}
	var idle []string
	for _, b := range lb.listed {
		if slices.Contains(wanted, b) {
			continue
		}
		b.removed = true
		b.leave()
		if b.inFlight > 0 {
			lb.removed = append(lb.removed, b)
		} else {
			idle = append(idle, b.id)
			b.calls.close()
		}
	}
	lb.listed = wanted
	lb.mu.Unlock()
	for _, id := range idle {
		lb.onGone(id)
	}
	return nil
}

// Drain takes the backend out of rotation and waits until it has no requests in flight or ctx ends. It stays out of rotation
// in either case. An unknown ID has nothing in flight.
func (lb *Balancer) Drain(ctx context.Context, id string) error {
	lb.mu.Lock()
	for _, b := range lb.listed {
		if b.id == id {
			b.draining = true
			b.leave()
		}
	}
	lb.mu.Unlock()
	for {
		idle := lb.idle(id)
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("replica %q has %d requests in flight: %w", id, lb.InFlight(id), context.Cause(ctx))
		}
	}
}

// idle returns a channel that is closed when one of the busy backends with this ID becomes idle; nil if none is busy.
func (lb *Balancer) idle(id string) <-chan struct{} {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	for _, b := range lb.all() {
		if b.id != id || b.inFlight == 0 {
			continue
		}
		if b.idle == nil {
			b.idle = make(chan struct{})
		}
		return b.idle
	}
	return nil
}

// InFlight returns the number of requests in flight at a replica; 0 for an unknown ID.
func (lb *Balancer) InFlight(id string) int {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	n := 0
	for _, b := range lb.all() {
		if b.id == id {
			n += b.inFlight
		}
	}
	return n
}

// Status lists all backends that are in rotation or have requests in flight.
func (lb *Balancer) Status() []Status {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	now := lb.now()
	list := []Status{}
	for _, b := range lb.all() {
		list = append(list, Status{ID: b.id, URL: b.url.String(), State: b.state(now), InFlight: b.inFlight, Good: b.good, Bad: b.bad})
	}
	return list
}

// all lists the backends in rotation and the removed ones. The caller holds mu.
func (lb *Balancer) all() []*backend { return slices.Concat(lb.listed, lb.removed) }

// known reports whether a replica is in rotation or has requests in flight.
func (lb *Balancer) known(id string) bool {
	return slices.ContainsFunc(lb.Status(), func(s Status) bool { return s.ID == id })
}

// acquire chooses the backend with the fewest requests in flight and counts one more; backends that are unresponsive or cooling
// down come last, and those in tried are left out. It returns nil if there is none. The caller calls release.
func (lb *Balancer) acquire(tried ...*backend) *backend {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	now := lb.now()
	var best *backend
	var bestAt int
	for i := range lb.listed {
		at := (lb.next + i) % len(lb.listed)
		b := lb.listed[at]
		if b.draining || slices.Contains(tried, b) {
			continue
		}
		if best == nil || b.betterThan(best, now) {
			best, bestAt = b, at
		}
	}
	if best != nil {
		lb.next = bestAt + 1
		best.inFlight++
	}
	return best
}

// withoutGRPC lists the backends in rotation that take no calls of gRPC.
func (lb *Balancer) withoutGRPC() (list []*backend) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	for _, b := range lb.listed {
		if b.grpc == "" {
			list = append(list, b)
		}
	}
	return list
}

// closeCalls closes the idle connections for calls.
func (lb *Balancer) closeCalls() {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	for _, b := range lb.all() {
		b.calls.close()
	}
}

// acquireSpare is acquire where at least two untried backends are healthy, so that losing one leaves another. none reports that
// no untried backend is healthy.
func (lb *Balancer) acquireSpare(tried ...*backend) (b *backend, none bool) {
	lb.mu.Lock()
	healthy, now := 0, lb.now()
	for _, b := range lb.listed {
		if !slices.Contains(tried, b) && b.rank(now) == 0 {
			healthy++
		}
	}
	lb.mu.Unlock()
	if healthy < 2 {
		return nil, healthy == 0
	}
	return lb.acquire(tried...), false
}

// reacquire counts one more request at the same backend, unless it is out of rotation.
func (lb *Balancer) reacquire(b *backend) bool {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	if b.draining || b.removed {
		return false
	}
	b.inFlight++
	return true
}

// release counts one request less.
func (lb *Balancer) release(b *backend) {
	lb.mu.Lock()
	b.inFlight--
	idle := b.inFlight == 0
	if idle && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
	gone := idle && b.removed
	if gone {
		lb.removed = slices.DeleteFunc(lb.removed, func(o *backend) bool { return o == b })
	}
	lb.mu.Unlock()
	if gone {
		b.calls.close()
		lb.onGone(b.id)
	}
}

// coolDown notes that the backend refused a request.
func (lb *Balancer) coolDown(b *backend) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	b.coolDownUntil(lb.now().Add(minCooldown))
}

// record notes whether the backend answered a prediction whose outcome is not the client's fault.
func (lb *Balancer) record(b *backend, ok bool) {
	lb.mu.Lock()
	defer lb.mu.Unlock()
	if ok {
		b.good++
		b.failures = 0
		return
	}
	b.bad++
	b.failures++
	if over := b.failures - failureThreshold; over >= 0 {
		b.coolDownUntil(lb.now().Add(min(minCooldown<<min(over, 10), maxCooldown)))
	}
}
