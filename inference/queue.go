package inference

import (
	"sync"
	"time"

	"fovea/internal/apierror"
)

// Bounds of Retry-After when a queue is full.
const (
	minRetryAfter = time.Second
	maxRetryAfter = 30 * time.Second
)

// queue bounds the images that a version has accepted and not yet answered (batching.queue), and measures how fast they
// leave.
type queue struct {
	bound  int
	report func(change int)

	mu       sync.Mutex
	length   int
	last     time.Time     // when the last image left, or the first came after a pause
	interval time.Duration // moving mean of the time between two images that leave while others wait
}

// enter adds n images, or refuses them with queue_full and Retry-After.
func (q *queue) enter(n int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n > q.bound {
		return apierror.New(apierror.InvalidParameter, "the request has %d rows; the model's queue takes %d", n, q.bound)
	}
	if q.length+n > q.bound {
		f := apierror.New(apierror.QueueFull, "%d images are in flight for this model; the limit is %d", q.length, q.bound)
		f.RetryAfter = min(max(time.Duration(q.length)*q.interval, minRetryAfter), maxRetryAfter)
		return f
	}
	if q.length == 0 {
		q.last = time.Now()
	}
	q.length += n
	q.report(n)
	return nil
}

// leave removes n images.
func (q *queue) leave(n int) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	sinceLast := now.Sub(q.last)
	if q.interval == 0 {
		q.interval = sinceLast
	}
	q.interval += (sinceLast/time.Duration(n) - q.interval) / 16
	q.last = now
	q.length -= n
	q.report(-n)
}

// len is the number of images accepted and not yet answered.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}
