package api

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// slowBody is how long a body holds others up that wait to be read.
	slowBody = 100 * time.Millisecond
	// unknownLength is what a body that does not tell its length counts for, in bytes.
	unknownLength = 1 << 20
)

// readAhead bounds the bytes of bodies that have come in and whose pictures are not decoded yet. Those beyond wait in
// the network, where TCP holds their senders back, first come first served: to have more of them in memory would not
// have one picture decoded sooner. A body that is slow to arrive stops counting, so that it holds nobody up; the
// server's budget (admission) counts it all the same.
type readAhead struct {
	size int64
	room *semaphore.Weighted
}

func newReadAhead(size int64) *readAhead {
	return &readAhead{size: size, room: semaphore.NewWeighted(size)}
}

// enter waits until a body of so many bytes (-1: unknown) may be read, at most for a time and as long as ctx allows. The
// share must be left. Most need not wait, and no clock for it.
func (r *readAhead) enter(ctx context.Context, bytes int64, atMost time.Duration) (*share, error) {
	if bytes < 0 {
		bytes = unknownLength
	}
	s := &share{room: r.room, bytes: min(bytes, r.size)} // one that is larger than all there is waits for all
	if !r.room.TryAcquire(s.bytes) {
		ctx, cancel := context.WithTimeout(ctx, atMost)
		defer cancel()
		if err := r.room.Acquire(ctx, s.bytes); err != nil {
			return nil, err
		}
	}
	s.slow = time.AfterFunc(slowBody, s.release)
	return s, nil
}

// share is one body's part of what is read ahead.
type share struct {
	room  *semaphore.Weighted
	bytes int64
	slow  *time.Timer
	once  sync.Once
}

// arrived says that the body is there: from now on it counts until it is decoded.
func (s *share) arrived() { s.slow.Stop() }

// leave gives the share back, unless the body was slow and has. Further calls do nothing.
func (s *share) leave() {
	s.slow.Stop()
	s.release()
}

func (s *share) release() { s.once.Do(func() { s.room.Release(s.bytes) }) }
