package admission

import (
	"container/heap"
	"time"
)

// request is an admitted request. Its methods may be called by one goroutine at a time.
type request struct {
	controller *Controller
	id         string // of the client
	client     *client
	stop       func()
	unread     func() bool

	// controller.mu guards these.
	onTimeUntil time.Time // until when the bytes that have arrived satisfy the rate
	bytes       int64
	heapIndex   int // in controller.arriving; -1: the body has arrived, or waits to be read
	displaced   bool
	released    bool
}

// received counts n more bytes of the body. Bytes ahead of the rate earn no credit: a body that arrived fast and stops lags
// as much as one that never came. The error is ErrDisplaced or a *FullError.
func (q *request) received(n int64, now time.Time) error {
	c := q.controller
	if q.displaced {
		return ErrDisplaced
	}
	if rate := float64(c.limits.MinRate); float64(n) >= rate*q.lag(now).Seconds() {
		q.onTimeUntil = now
	} else {
		q.onTimeUntil = q.onTimeUntil.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	}
	if q.released {
		return nil // it no longer counts, but is still read at the minimum rate
	}
	if q.heapIndex >= 0 {
		heap.Fix(&c.arriving, q.heapIndex)
	}
	return q.grow(n, now)
}

// grow counts n bytes, at the limit by displacing bodies that lag more.
func (q *request) grow(n int64, now time.Time) error {
	c := q.controller
	if c.limits.Bytes > 0 {
		limit := LimitFor(c.limits.Bytes, q.client.bytes+n, c.limits.ClientShare, q.client.bytes == q.bytes)
		if over := c.bytes + n - limit; over > 0 && !c.freeBytes(over, q, now) {
			return &FullError{"body bytes", limit}
		}
	}
	q.bytes += n
	q.client.bytes += n
	c.bytes += n
	return nil
}

// pause stops the body's clock: it has arrived, or waits to be read.
func (q *request) pause() {
	if q.heapIndex >= 0 {
		heap.Remove(&q.controller.arriving, q.heapIndex)
		q.client.arriving--
	}
}

// resume starts the clock of a body that has waited. What the client has to send should be there by now; if it is not, the
// request can be displaced at once.
func (q *request) resume(now time.Time) {
	q.onTimeUntil = now.Add(-displaceAfter)
	if !q.released && q.heapIndex < 0 {
		q.controller.track(q)
	}
}

// release ends the request. Further calls do nothing.
func (q *request) release() {
	q.controller.mu.Lock()
	defer q.controller.mu.Unlock()
	q.releaseLocked()
}

// releaseLocked is release when the caller holds mu.
func (q *request) releaseLocked() {
	if q.released {
		return
	}
	q.released = true
	c := q.controller
	q.pause()
	c.requests--
	c.bytes -= q.bytes
	q.client.requests--
	q.client.bytes -= q.bytes
	c.forget(q.id, q.client)
}
