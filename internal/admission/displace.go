package admission

import (
	"container/heap"
	"time"
)

const (
	// displaceAfter is the lag at which a body can be displaced. With less, its packets may just be on their way.
	displaceAfter = 100 * time.Millisecond
	// initialLag is a body's lag before its first bytes, so that a request of which hardly anything has arrived can always
	// be displaced.
	initialLag = 2 * displaceAfter
	// idleAfter is how much more lag makes a body idle: a client may only have its share of idle bodies.
	idleAfter = time.Second
)

// lag is how far the body is behind the rate.
func (q *request) lag(now time.Time) time.Duration { return now.Sub(q.onTimeUntil) }

// mostLagging returns the request that can be displaced and lags the most, or nil.
func (c *Controller) mostLagging(now time.Time) *request {
	for len(c.arriving) > 0 && c.arriving[0].lag(now) >= displaceAfter {
		if q := c.arriving[0]; !c.clearLagIfUnread(q, now) {
			return q
		}
	}
	return nil
}

// clearLagIfUnread clears the lag of a body of which bytes wait to be read, and reports whether it did: on a busy machine
// the client is not to blame.
func (c *Controller) clearLagIfUnread(q *request, now time.Time) bool {
	if q.unread == nil || !q.unread() {
		return false
	}
	q.onTimeUntil = now
	heap.Fix(&c.arriving, q.heapIndex)
	return true
}

// mostIdle returns the client's request that lags the most, or nil when none is idle.
func (c *Controller) mostIdle(now time.Time, from *client) *request {
	for {
		var worst *request
		for _, q := range c.arriving {
			if q.client == from && (worst == nil || q.onTimeUntil.Before(worst.onTimeUntil)) {
				worst = q
			}
		}
		if worst == nil || worst.lag(now) < initialLag+idleAfter {
			return nil
		}
		if !c.clearLagIfUnread(worst, now) {
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

// freeBytes displaces requests whose bodies lag more than q's until n bytes are free; none if they hold less in total.
func (c *Controller) freeBytes(n int64, q *request, now time.Time) bool {
	var sum int64
	for _, other := range c.arriving {
		if other != q && other.lag(now) >= displaceAfter && other.onTimeUntil.Before(q.onTimeUntil) {
			sum += other.bytes
		}
	}
	if sum < n {
		return false
	}
	for n > 0 {
		worst := c.arriving[0]
		n -= worst.bytes
		c.displace(worst)
	}
	return true
}

func (c *Controller) track(q *request) {
	heap.Push(&c.arriving, q)
	q.client.arriving++
}

// byLag is a heap of requests, the one whose body lags the most first.
type byLag []*request

func (h byLag) Len() int           { return len(h) }
func (h byLag) Less(i, j int) bool { return h[i].onTimeUntil.Before(h[j].onTimeUntil) }
func (h byLag) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *byLag) Push(x any) {
	q := x.(*request)
	q.heapIndex = len(*h)
	*h = append(*h, q)
}

// Pop implements heap.Interface.
func (h *byLag) Pop() any {
	last := len(*h) - 1
	q := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	q.heapIndex = -1
	return q
}
