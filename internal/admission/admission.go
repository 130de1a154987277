// Package admission bounds the requests in flight and the bytes of their bodies, over all clients. What counts is what
// has arrived, never what was announced. A request whose body lags gives its slot up as soon as another needs it, and
// one client address cannot take the last of the room from the others.
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
	// late is how far behind a body can give its slot up. One that is less behind keeps it: its packets may be on their way.
	late = 100 * time.Millisecond
	// headStart is how far behind a body counts as before its first bytes, so that a request of which nothing, or next to
	// nothing, has arrived can always give way.
	headStart = 2 * late
	// patience is how much further behind a body is idle, so that its client may not have more than its share of such.
	patience = time.Second
	// mostWait is how long a request waits for room. Where idle clients come in bursts, all slots may be held by bodies that
	// stopped a moment ago, or that wait to be read: it takes that long until they lag. Another request may be faster then.
	mostWait = time.Second
	// look is how long it waits where it is not known when a body can give way.
	look = 25 * time.Millisecond
)

// Errors of a request that is not let in, or not any longer.
var (
	ErrClosed    = errors.New("no more requests are let in")
	ErrDisplaced = errors.New("the body lagged behind and gave its slot to another request")
)

// FullError says which limit has been reached.
type FullError struct {
	What  string // requests, or bytes of bodies
	Limit int64  // for this client
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("%d %s are in flight, as many as are allowed", e.Limit, e.What)
}

// Limits are what a Room holds.
type Limits struct {
	Requests int64
	Bytes    int64   // of bodies; 0: no limit
	Share    float64 // of either that one client address may hold when others need it, above 0; 1: all
	Rate     int64   // bytes a second that a body must keep up; 0: any, and the order is that of arrival
}

// Room is what all requests share. It is safe for concurrent use.
type Room struct {
	limits Limits
	now    func() time.Time
	sleep  func(time.Duration)

	mu       sync.Mutex
	closed   bool
	requests int64
	bytes    int64
	clients  map[netip.Prefix]*client
	arriving byLag // requests whose bodies are arriving, the one that is the most behind first
	unread   int   // requests whose bodies wait to be read
}

// client is what the requests of one address hold.
type client struct {
	requests, bytes, arriving int64
}

// New makes a room.
func New(limits Limits) *Room {
	return &Room{limits: limits, now: time.Now, sleep: time.Sleep, clients: map[netip.Prefix]*client{}}
}

// Close refuses whoever comes from now on.
func (r *Room) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Requests returns the requests in flight.
func (r *Room) Requests() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Bytes returns the bytes that have arrived of the bodies of requests in flight.
func (r *Room) Bytes() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// Enter lets a request in whose body has not arrived yet. When there is no room it takes that of the body that is the
// most behind, and waits for a second at most until one is enough behind; stop is called for that one, with the
// room's lock held, and must end its reads. Unread (nil: it is not known) says whether bytes of the body have arrived that
// nobody has read yet. The ticket must be left. The error is ErrClosed or a *FullError.
func (r *Room) Enter(address netip.Prefix, stop func(), unread func() bool) (*Ticket, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrClosed
	}
	now := r.now()
	c := r.client(address)
	c.requests++ // first, so that it is not forgotten when it gives one of its own up
	for float64(c.arriving+1) > r.limits.Share*float64(r.limits.Requests) && r.displace(r.idle(now, c)) {
		continue
	}
	if err := r.makeRoom(c); err != nil {
		c.requests--
		r.forget(address, c)
		return nil, err
	}
	t := &Ticket{room: r, address: address, client: c, stop: stop, unread: unread, paid: r.now().Add(-headStart), at: -1}
	r.requests++
	r.push(t)
	return t, nil
}

// makeRoom returns once there is room for a request of a client. The lock is held, but for the time that it waits.
func (r *Room) makeRoom(c *client) error {
	for waited := time.Duration(0); ; {
		limit := r.limit(r.limits.Requests, c.requests, c.requests == 1)
		switch {
		case r.closed:
			return ErrClosed
		case r.requests < limit, r.displace(r.behind(r.now())):
			return nil
		case waited >= mostWait, len(r.arriving) == 0 && r.unread == 0:
			return &FullError{"requests", limit}
		}
		soon := look
		if r.unread == 0 {
			soon = late - r.arriving[0].lag(r.now())
		}
		waited += soon
		r.mu.Unlock()
		r.sleep(soon)
		r.mu.Lock()
	}
}

// limit is how much of all there is may be taken, over all clients, for one that would then hold so much. Who holds more
// than its share leaves as much to the others; what it holds for one request alone is never too much.
func (r *Room) limit(all, held int64, alone bool) int64 {
	share := r.limits.Share * float64(all)
	if alone || float64(held) <= share {
		return all
	}
	return all - int64(min(share, float64(all)-share)) // a share of 1 leaves nothing
}

// behind returns the body that is the most behind; nil when none is enough to give way.
func (r *Room) behind(now time.Time) *Ticket {
	for len(r.arriving) > 0 && r.arriving[0].lag(now) >= late {
		if t := r.arriving[0]; !r.excused(t, now) {
			return t
		}
	}
	return nil
}

// excused tells whether it is not the client that a body lags by, but this process: on a busy machine a body that is there
// may wait to be read.
func (r *Room) excused(t *Ticket, now time.Time) bool {
	if t.unread == nil || !t.unread() {
		return false
	}
	t.paid = now
	heap.Fix(&r.arriving, t.at)
	return true
}

// idle returns a client's body that is the most behind; nil when none is so far behind that it is idle.
func (r *Room) idle(now time.Time, c *client) *Ticket {
	for {
		var worst *Ticket
		for _, t := range r.arriving {
			if t.client == c && (worst == nil || t.paid.Before(worst.paid)) {
				worst = t
			}
		}
		if worst == nil || worst.lag(now) < headStart+patience {
			return nil
		}
		if !r.excused(worst, now) {
			return worst
		}
	}
}

// displace ends a request whose body is arriving. What it held is free at once. It returns false for nil.
func (r *Room) displace(t *Ticket) bool {
	if t == nil {
		return false
	}
	t.displaced = true
	t.leave()
	t.stop()
	return true
}

func (r *Room) client(address netip.Prefix) *client {
	c := r.clients[address]
	if c == nil {
		c = &client{}
		r.clients[address] = c
	}
	return c
}

func (r *Room) forget(address netip.Prefix, c *client) {
	if c.requests == 0 && r.clients[address] == c {
		delete(r.clients, address)
	}
}

func (r *Room) push(t *Ticket) {
	heap.Push(&r.arriving, t)
	t.client.arriving++
}

func (r *Room) pull(t *Ticket) {
	heap.Remove(&r.arriving, t.at)
	t.client.arriving--
}

// byLag is a heap of requests, the one whose body is the most behind first.
type byLag []*Ticket

func (h byLag) Len() int           { return len(h) }
func (h byLag) Less(i, j int) bool { return h[i].paid.Before(h[j].paid) }
func (h byLag) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *byLag) Push(x any) {
	t, ok := x.(*Ticket)
	if !ok {
		return // cannot be: push gives nothing else
	}
	t.at = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *byLag) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.at = -1
	return t
}

// Address is what a client counts as: its IPv4 address, or the /64 of its IPv6 address, of which a host has all. What is no
// address counts as one client.
func Address(hostPort string) netip.Prefix {
	a, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Prefix{}
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // cannot be: the bits fit
	}
	return p
}
