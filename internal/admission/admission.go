// Package admission decides whether a request may enter the server: it bounds the requests in flight and the bytes of their
// bodies, in total and for each client address. Bytes count once they have arrived, not when they are announced. At a limit,
// the request whose body lags the most is displaced; one client address cannot use up the whole of a limit.
package admission

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	// displaceAfter is the lag at which a body can be displaced. With less, its packets may just be on their way.
	displaceAfter = 100 * time.Millisecond
	// initialLag is a body's lag before its first bytes, so that a request of which hardly anything has arrived can always
	// be displaced.
	initialLag = 2 * displaceAfter
	// idleAfter is how much more lag makes a body idle: a client address may only have its share of idle bodies.
	idleAfter = time.Second
	// maxWait bounds the wait of a request at a limit. When idle clients arrive in bursts, all requests in flight may belong
	// to bodies that stopped a moment ago or wait to be read: it takes that long until they lag.
	maxWait = time.Second
	// recheck is the interval of checks while it is not known when a body can be displaced.
	recheck = 25 * time.Millisecond
)

// Errors of a request that is not admitted, or no longer.
var (
	ErrClosed    = errors.New("no more requests are admitted")
	ErrDisplaced = errors.New("the body lagged and was displaced by another request")
)

// FullError reports the limit that has been reached.
type FullError struct {
	What  string // requests, or bytes of bodies
	Limit int64  // for this client
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("the limit of %d %s in flight is reached", e.Limit, e.What)
}

// Limits are the bounds that a Controller enforces.
type Limits struct {
	Requests    int64
	Bytes       int64   // of bodies; 0: no limit
	ClientShare float64 // of either limit that one client address may hold while others need it; in (0, 1]
	MinRate     int64   // bytes a second that a body must arrive at; 0: any rate, bodies lag in the order of arrival
}

// Controller admits requests within limits. It is safe for concurrent use.
type Controller struct {
	limits Limits
	now    func() time.Time
	sleep  func(time.Duration)

	mu       sync.Mutex
	closed   bool
	requests int64
	bytes    int64
	clients  map[netip.Prefix]*client
	arriving byLag // requests whose bodies are arriving, the most lagging first
	waiting  int   // requests whose bodies wait to be read
}

// client is what the requests of one address hold.
type client struct {
	requests, bytes, arriving int64
}

// New returns a Controller.
func New(limits Limits) *Controller {
	return &Controller{limits: limits, now: time.Now, sleep: time.Sleep, clients: map[netip.Prefix]*client{}}
}

// Close refuses all further requests with ErrClosed.
func (c *Controller) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// Requests returns the number of requests in flight.
func (c *Controller) Requests() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Bytes returns the bytes that have arrived of the bodies of requests in flight.
func (c *Controller) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// admit admits a request whose body has not arrived yet. At the limit of requests it displaces the most lagging body, after
// a wait of up to maxWait until one lags enough. Stop is called, with the lock held, when this request is displaced, and
// must end the reads of its body. Unread (nil: unknown) reports whether bytes of the body have arrived that this process has
// not read yet. The request must be released. The error is ErrClosed or a *FullError.
func (c *Controller) admit(address netip.Prefix, stop func(), unread func() bool) (*request, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	now := c.now()
	from := c.clients[address]
	if from == nil {
		from = &client{}
		c.clients[address] = from
	}
	from.requests++ // first, so that the client is not forgotten when one of its own requests is displaced
	for float64(from.arriving+1) > c.limits.ClientShare*float64(c.limits.Requests) && c.displace(c.mostIdle(now, from)) {
		continue
	}
	if err := c.waitForCapacity(from); err != nil {
		from.requests--
		c.forget(address, from)
		return nil, err
	}
	q := &request{controller: c, address: address, client: from, stop: stop, unread: unread, coveredUntil: c.now().Add(-initialLag), at: -1}
	c.requests++
	c.track(q)
	return q, nil
}

// waitForCapacity returns once a request of the client is within the limit. It unlocks while it sleeps.
func (c *Controller) waitForCapacity(from *client) error {
	for waited := time.Duration(0); ; {
		limit := c.limitFor(c.limits.Requests, from.requests, from.requests == 1)
		switch {
		case c.closed:
			return ErrClosed
		case c.requests < limit, c.displace(c.mostLagging(c.now())):
			return nil
		case waited >= maxWait, len(c.arriving) == 0 && c.waiting == 0:
			return &FullError{"requests", limit}
		}
		pause := recheck
		if c.waiting == 0 {
			pause = displaceAfter - c.arriving[0].lag(c.now())
		}
		waited += pause
		c.mu.Unlock()
		c.sleep(pause)
		c.mu.Lock()
	}
}

// limitFor returns how much of total may be in use, over all clients, after a client that would then hold held has got
// more. A client above its share must leave as much to the others; a client with one request alone is never above it.
func (c *Controller) limitFor(total, held int64, alone bool) int64 {
	share := c.limits.ClientShare * float64(total)
	if alone || float64(held) <= share {
		return total
	}
	return total - int64(min(share, float64(total)-share)) // a share of 1 leaves nothing
}

// mostLagging returns the request that can be displaced and lags the most, or nil.
func (c *Controller) mostLagging(now time.Time) *request {
	for len(c.arriving) > 0 && c.arriving[0].lag(now) >= displaceAfter {
		if q := c.arriving[0]; !c.excused(q, now) {
			return q
		}
	}
	return nil
}

// excused clears the lag of a body that has arrived and waits to be read: on a busy machine that is not the client's lag.
func (c *Controller) excused(q *request, now time.Time) bool {
	if q.unread == nil || !q.unread() {
		return false
	}
	q.coveredUntil = now
	heap.Fix(&c.arriving, q.at)
	return true
}

// mostIdle returns the client's request that lags the most, or nil when none is idle.
func (c *Controller) mostIdle(now time.Time, from *client) *request {
	for {
		var worst *request
		for _, q := range c.arriving {
			if q.client == from && (worst == nil || q.coveredUntil.Before(worst.coveredUntil)) {
				worst = q
			}
		}
		if worst == nil || worst.lag(now) < initialLag+idleAfter {
			return nil
		}
		if !c.excused(worst, now) {
			return worst
		}
	}
}

// displace ends a request whose body is arriving and frees what it held. It returns false for nil.
func (c *Controller) displace(q *request) bool {
	if q == nil {
		return false
	}
	q.displaced = true
	q.releaseLocked()
	q.stop()
	return true
}

func (c *Controller) forget(address netip.Prefix, from *client) {
	if from.requests == 0 && c.clients[address] == from {
		delete(c.clients, address)
	}
}

func (c *Controller) track(q *request) {
	heap.Push(&c.arriving, q)
	q.client.arriving++
}

// byLag is a heap of requests, the one whose body lags the most first.
type byLag []*request

func (h byLag) Len() int           { return len(h) }
func (h byLag) Less(i, j int) bool { return h[i].coveredUntil.Before(h[j].coveredUntil) }
func (h byLag) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *byLag) Push(x any) {
	q := x.(*request)
	q.at = len(*h)
	*h = append(*h, q)
}

// Pop implements heap.Interface.
func (h *byLag) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	q.at = -1
	return q
}

// clientOf returns the address that a client is counted by: its IPv4 address, or the /64 of its IPv6 address, all of which
// one host can use. What is not an address counts as one client.
func clientOf(hostPort string) netip.Prefix {
	a, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits fit
	return p
}
