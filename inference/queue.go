package inference

import (
	"context"
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
	left     chan struct{}  // closed when images leave, if any wait for that
}

// enter adds n images of a client, or refuses them with queue_full and Retry-After. Under contention a client is limited to its
// share, as package admission has it; a share of 0 is all.
func (q *queue) enter(n int, client string, share float64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.admit(n, client, share)
}

// await is enter, except that it waits while the queue is full. The error is ctx's, or that of a number that never fits.
func (q *queue) await(ctx context.Context, n int, client string, share float64) error {
	for {
		q.mu.Lock()
		err := q.admit(n, client, share)
		if err == nil || apierror.From(err).Code != apierror.QueueFull {
			q.mu.Unlock()
			return err
		}
		if q.left == nil {
			q.left = make(chan struct{})
		}
		left := q.left
		q.mu.Unlock()
		select {
		case <-left:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// admit is enter. The caller holds mu.
func (q *queue) admit(n int, client string, share float64) error {
	if n > q.bound {
		return apierror.New(apierror.InvalidParameter, "the request has %d rows; the model's queue takes %d", n, q.bound)
	}
	limit := q.bound
	if before := q.held[client]; share > 0 {
		limit = int(admission.LimitFor(int64(q.bound), int64(before+n), share, before == 0))
	}
	if q.length+n > limit {
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
	if q.held == nil {
		q.held = map[string]int{}
	}
	q.length += n
	q.held[client] += n
	q.report(n)
	return nil
}

// leave removes n images of a client.
func (q *queue) leave(n int, client string) {
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
	if q.held[client] -= n; q.held[client] == 0 {
		delete(q.held, client)
	}
	if q.left != nil {
		close(q.left)
		q.left = nil
	}
	q.report(-n)
}

// len is the number of images accepted and not yet answered.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.length
}
