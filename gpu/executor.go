package gpu

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// executor runs one NVML call at a time, each with a deadline. A call that exceeds it occupies the executor: until it returns,
// further calls fail immediately with ErrNotAnswering, so that a hung driver blocks one goroutine per executor at most. Each GPU
// has its own, because a failure of one need not affect the others.
type executor struct {
	what  string
	busy  chan struct{}
	epoch time.Time
	due   atomic.Int64 // deadline of the running call, in nanoseconds after epoch; 0: idle
}

func newExecutor(what string) *executor {
	return &executor{what: what, busy: make(chan struct{}, 1), epoch: time.Now()}
}

// overdue reports whether a call is running past its deadline.
func (e *executor) overdue() bool {
	due := e.due.Load()
	return due != 0 && int64(time.Since(e.epoch)) >= due
}

func (e *executor) notAnswering() error {
	return fmt.Errorf("%s: %w", e.what, ErrNotAnswering)
}

// acquire waits for the running call, at most until limit fires.
func (e *executor) acquire(ctx context.Context, limit *time.Timer) error {
	if e.overdue() {
		return e.notAnswering()
	}
	select {
	case e.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", e.what, ctx.Err())
	case <-limit.C:
		return e.notAnswering()
	}
}

// call runs fn in the executor and waits for it at most for limit. fn must only return its results, not store them: after the
// deadline they are ignored.
func call[T any](ctx context.Context, e *executor, limit time.Duration, fn func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s: %w", e.what, err)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	if err := e.acquire(ctx, timer); err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	e.due.Store(int64(time.Since(e.epoch) + limit))
	go func() {
		value, err := fn()
		e.due.Store(0)
		<-e.busy
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return none, fmt.Errorf("%s: %w", e.what, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return none, fmt.Errorf("%s: %w", e.what, ctx.Err())
	case <-timer.C:
		return none, e.notAnswering()
	}
}

// ask is call with n's timeout. It fails once n is closing: Close then waits for every executor, so that no call is running when
// the library is shut down.
func ask[T any](ctx context.Context, n *NVML, e *executor, fn func() (T, error)) (T, error) {
	return call(ctx, e, n.timeout, func() (T, error) {
		if n.closing.Err() != nil {
			var none T
			return none, ErrClosed
		}
		return fn()
	})
}
