// Package admission decides whether a request may enter the server: it bounds the requests in flight and the bytes of their
// bodies, in total and for each client. A client is an API key or a client address (package access). Bytes count once they have arrived, not when they are announced. At a limit,
// the request whose body lags the most is displaced; one client cannot use up the whole of a limit.
package admission

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
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
	What  string // requests, or body bytes
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
	ClientShare float64 // of either limit that one client may hold while others need it; in (0, 1]
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
	clients  map[string]*client
	arriving byLag // requests whose bodies are arriving, the most lagging first
	waiting  int   // requests whose bodies wait to be read
}

// client is what the requests of one client hold.
type client struct {
	requests, bytes, arriving int64
}

// New returns a Controller.
func New(limits Limits) *Controller {
	return &Controller{limits: limits, now: time.Now, sleep: time.Sleep, clients: map[string]*client{}}
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
// a wait of up to maxWait until one lags enough. Stop is called, with mu locked, when this request is displaced, and
// must end the reads of its body. Unread (nil: unknown) reports whether bytes of the body have arrived that this process has
// not read yet. The request must be released. The error is ErrClosed or a *FullError.
func (c *Controller) admit(id string, stop func(), unread func() bool) (*request, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	now := c.now()
	from := c.clients[id]
	if from == nil {
		from = &client{}
		c.clients[id] = from
	}
	from.requests++ // first, so that the client is not forgotten when one of its own requests is displaced
	for float64(from.arriving+1) > c.limits.ClientShare*float64(c.limits.Requests) && c.displace(c.mostIdle(now, from)) {
		continue
	}
	if err := c.waitForCapacity(from); err != nil {
		from.requests--
		c.forget(id, from)
		return nil, err
	}
	q := &request{controller: c, id: id, client: from, stop: stop, unread: unread, onTimeUntil: c.now().Add(-initialLag), heapIndex: -1}
	c.requests++
	c.track(q)
	return q, nil
}

// waitForCapacity returns once a request of the client is within the limit. It unlocks while it sleeps.
func (c *Controller) waitForCapacity(from *client) error {
	for waited := time.Duration(0); ; {
		limit := LimitFor(c.limits.Requests, from.requests, c.limits.ClientShare, from.requests == 1)
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

// LimitFor returns how much of total may be in use, over all clients, after a client that would then hold held has got
// more. A client above its share must leave as much to the others; a client with one request alone is never above it.
func LimitFor(total, held int64, clientShare float64, alone bool) int64 {
	share := clientShare * float64(total)
	if alone || float64(held) <= share {
		return total
	}
	return total - int64(min(share, float64(total)-share)) // a share of 1 leaves nothing
}

func (c *Controller) forget(id string, from *client) {
	if from.requests == 0 && c.clients[id] == from {
		delete(c.clients, id)
	}
}
