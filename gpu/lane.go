package gpu

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// lane runs one NVML call at a time, each under a deadline. A call that outlives its deadline keeps the lane: until it
// returns, further calls fail at once with ErrNotAnswering and start nothing, so that a hung driver costs one goroutine
// per lane and never more. There is one lane per GPU, because a fault of one need not silence the others.
type lane struct {
	what  string
	busy  chan struct{}
	epoch time.Time
	due   atomic.Int64 // when the running call is overdue, in nanoseconds after epoch; 0 when idle
}

func newLane(what string) *lane {
	return &lane{what: what, busy: make(chan struct{}, 1), epoch: time.Now()}
}

// overdue tells whether a call is running past its deadline.
func (l *lane) overdue() bool {
	due := l.due.Load()
	return due != 0 && int64(time.Since(l.epoch)) >= due
}

func (l *lane) silence() error {
	return fmt.Errorf("%s: %w", l.what, ErrNotAnswering)
}

// acquire waits for the running call, at most for limit.
func (l *lane) acquire(ctx context.Context, limit *time.Timer) error {
	if l.overdue() {
		return l.silence()
	}
	select {
	case l.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", l.what, ctx.Err())
	case <-limit.C:
		return l.silence()
	}
}

// call runs fn in the lane and waits for it at most for limit, counted from now. fn must keep its results to itself
// and return them: after the deadline nobody listens to it any more.
func call[T any](ctx context.Context, l *lane, limit time.Duration, fn func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", l.what, err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	if err := l.acquire(ctx, timer); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	l.due.Store(int64(time.Since(l.epoch) + limit))
	go func() {
		value, err := fn()
		l.due.Store(0)
		<-l.busy
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return none, fmt.Errorf("%s: %w", l.what, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w", l.what, ctx.Err())
	case <-timer.C:
		return none, l.silence()
	}
}

// ask is call in one of n's lanes, with n's time-out and an end when n is closed. Close goes through every lane after
// it has set the mark, so that no call is under way when the library is shut down.
func ask[T any](ctx context.Context, n *NVML, l *lane, fn func() (T, error)) (T, error) {
	return call(ctx, l, n.timeout, func() (T, error) {
		if n.closing.Err() != nil {
			var none T
			return none, ErrClosed
		}
		return fn()
	})
}
