package admission

import (
	"container/heap"
	"net/netip"
	"time"
)

// Ticket is one request's slot. It is made by Enter; its methods may be called by one goroutine at a time.
type Ticket struct {
	room    *Room
	address netip.Prefix
	client  *client
	stop    func()
	unread  func() bool

	// guarded by the room's lock
	paid      time.Time // until when the bytes that have arrived are enough
	bytes     int64
	at        int // in room.arriving; -1: the body has arrived, or waits to be read
	displaced bool
	left      bool
}

// lag is how far the body is behind the rate.
func (t *Ticket) lag(now time.Time) time.Duration { return now.Sub(t.paid) }

// arrive counts n more bytes of the body. What is early earns nothing for later: a body that came fast and stops is as far
// behind as one that never came. The error is ErrDisplaced or a *FullError.
func (t *Ticket) arrive(n int64, now time.Time) error {
	r := t.room
	if t.displaced {
		return ErrDisplaced
	}
	t.paid = t.paidWith(n, now)
	if t.left {
		return nil // it holds nothing any more, and is read on at the least rate
	}
	if t.at >= 0 {
		heap.Fix(&r.arriving, t.at)
	}
	return t.grow(n, now)
}

// paidWith is until when the bytes are enough once n more have arrived.
func (t *Ticket) paidWith(n int64, now time.Time) time.Time {
	rate := float64(t.room.limits.Rate)
	if float64(n) >= rate*t.lag(now).Seconds() {
		return now
	}
	return t.paid.Add(time.Duration(float64(n) / rate * float64(time.Second)))
}

// grow takes n bytes of the room, where need be from bodies that are further behind.
func (t *Ticket) grow(n int64, now time.Time) error {
	r := t.room
	if r.limits.Bytes > 0 {
		limit := r.limit(r.limits.Bytes, t.client.bytes+n, t.client.bytes == t.bytes)
		if over := r.bytes + n - limit; over > 0 && !r.freed(over, t, now) {
			return &FullError{"bytes of bodies", limit}
		}
	}
	t.bytes += n
	t.client.bytes += n
	r.bytes += n
	return nil
}

// freed displaces bodies that are further behind than t until so many bytes are free, or none when they hold less.
func (r *Room) freed(bytes int64, t *Ticket, now time.Time) bool {
	var sum int64
	for _, o := range r.arriving {
		if o != t && o.lag(now) >= late && o.paid.Before(t.paid) {
			sum += o.bytes
		}
	}
	if sum < bytes {
		return false
	}
	for bytes > 0 {
		worst := r.arriving[0]
		bytes -= worst.bytes
		r.displace(worst)
	}
	return true
}

// pause stops the body's clock while it waits to be read. resume starts it again: what the client has to send should be
// there by now, and if it is not, the slot can be given up at once.
func (t *Ticket) pause() {
	if t.at >= 0 {
		t.room.pull(t)
	}
}

func (t *Ticket) resume(now time.Time) {
	t.paid = now.Add(-late)
	if !t.left && t.at < 0 {
		t.room.push(t)
	}
}

// Leave gives the slot back. Further calls do nothing.
func (t *Ticket) Leave() {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	t.leave()
}

func (t *Ticket) leave() {
	if t.left {
		return
	}
	t.left = true
	r := t.room
	t.pause()
	r.requests--
	r.bytes -= t.bytes
	t.client.requests--
	t.client.bytes -= t.bytes
	r.forget(t.address, t.client)
}
