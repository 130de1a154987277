package gpu

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// executor runs one NVML call at a time, each with a deadline. A call that exceeds it occupies the executor: until it returns,
// further calls fail immediately with ErrUnresponsive, so that a hung driver blocks one goroutine per executor at most. Each GPU
// has its own, because a failure of one need not affect the others.
type executor struct {
	what string
	busy chan struct{}
	due  atomic.Pointer[time.Time] // deadline of the running call; nil: idle
}

func newExecutor(what string) *executor { return &executor{what: what, busy: make(chan struct{}, 1)} }

// overdue reports whether a call is running past its deadline.
func (e *executor) overdue() bool {
	due := e.due.Load()
	return due != nil && !time.Now().Before(*due)
}

// acquire waits for the running call, at most until limit fires.
func (e *executor) acquire(ctx context.Context, limit *time.Timer) error {
	if e.overdue() {
		return ErrUnresponsive
	}
	select {
	case e.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return ErrUnresponsive
	}
}

// call runs fn in the executor and waits for it at most for limit. fn must only return its results, not store them: after the
// deadline they are ignored.
func call[T any](ctx context.Context, e *executor, limit time.Duration, fn func() (T, error)) (value T, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", e.what, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return value, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	if err := e.acquire(ctx, timer); err != nil {
		return value, err
	}
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	due := time.Now().Add(limit)
	e.due.Store(&due)
	go func() {
		value, err := fn()
		e.due.Store(nil)
		<-e.busy
		answers <- answer{value, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return value, ctx.Err()
	case <-timer.C:
		return value, ErrUnresponsive
	}
}

// run is call for functions without a result.
func run(ctx context.Context, e *executor, limit time.Duration, fn func() error) error {
	_, err := call(ctx, e, limit, func() (struct{}, error) { return struct{}{}, fn() })
	return err
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
