package inference

import (
	"sync"
	"time"

	"fovea/internal/admission"
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
	held     map[string]int // of length, by client
	last     time.Time      // when the last image left, or the first came after a pause
	interval time.Duration  // moving mean of the time between two images that leave while others wait
}

// enter adds an image of a client, or refuses it with queue_full and Retry-After. Under contention a client is limited to its
// share, as package admission has it; a share of 0 is all.
func (q *queue) enter(client string, share float64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	limit := q.bound
	if held := q.held[client] + 1; share > 0 {
		limit = int(admission.LimitFor(int64(q.bound), int64(held), share, held == 1))
	}
	if q.length >= limit {
		f := apierror.New(apierror.QueueFull, "%d images are in flight for this model; the limit is %d", q.length, q.bound)
		if limit < q.bound {
			f.Message += ", and the rest is kept for other clients"
		}
		f.RetryAfter = min(max(time.Duration(q.length)*q.interval, minRetryAfter), maxRetryAfter)
		return f
	}
	if q.length == 0 {
		q.last = time.Now()
	}
	q.length++
	if q.held == nil {
		q.held = map[string]int{}
	}
	q.held[client]++
	q.report(1)
	return nil
}

// leave removes an image of a client.
func (q *queue) leave(client string) {
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	sinceLast := now.Sub(q.last)
	if q.interval == 0 {
		q.interval = sinceLast
	}
	q.interval += (sinceLast - q.interval) / 16
	q.last = now
	q.length--
	if q.held[client]--; q.held[client] == 0 {
		delete(q.held, client)
	}
	q.report(-1)
}

// len is the number of images accepted and not yet answered.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}
