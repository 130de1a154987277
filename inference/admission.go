package inference

import (
	"sync"
	"time"

	"fovea/internal/apierror"
)

// Bounds of what a client is told to wait when a queue is full.
const (
	leastRetry = time.Second
	mostRetry  = 30 * time.Second
)

// admission bounds the images that a version has accepted and not yet answered, and knows how fast they go.
type admission struct {
	bound  int
	report func(change int)

	mu    sync.Mutex
	depth int
	last  time.Time     // when the last image left, or the first came after a pause
	each  time.Duration // moving mean of the time between two images that leave while others wait
}

// enter takes a place in the queue, or says when to try again.
func (a *admission) enter() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.depth >= a.bound {
		f := apierror.New(apierror.QueueFull, "%d images are waiting for this model; no more are allowed", a.depth)
		f.RetryAfter = min(max(time.Duration(a.depth)*a.each, leastRetry), mostRetry)
		return f
	}
	if a.depth == 0 {
		a.last = time.Now()
	}
	a.depth++
	a.report(1)
	return nil
}

// leave gives the place back.
func (a *admission) leave() {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	took := now.Sub(a.last)
	if a.each == 0 {
		a.each = took
	}
	a.each += (took - a.each) / 16
	a.last = now
	a.depth--
	a.report(-1)
}

// waiting is the number of images accepted and not yet answered.
func (a *admission) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.depth
}
