package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrGPULost marks a probe's error: this process does not reach its GPU any more, whatever the GPU's own health.
	ErrGPULost = errors.New("this process has lost its GPU")
	// ErrGPUDetached marks the error of a GPU that still computes for this process and can no longer be opened anew. It is
	// no reason to be unready.
	ErrGPUDetached = errors.New("this process may no longer open its GPU")
)

// Probe asks something slow, such as a driver, whether it answers. It should end when ctx does. Its error may be marked
// with ErrGPULost or ErrGPUDetached.
type Probe func(ctx context.Context) error

// Cached turns a slow probe into a Check. The probe runs at most once per keep, never twice at a time, and its
// last result answers in between. One that takes longer than limit is a reason not to be ready until it returns;
// its goroutine is left behind, but no second one is started beside it, since a driver that hangs may hang for
// ever. The first call waits for the probe, at most limit; later ones never wait.
func Cached(name string, probe Probe, keep, limit time.Duration) Check {
	c := &cached{name: name, probe: probe, keep: keep, limit: limit}
	return c.check
}

type cached struct {
	name        string
	probe       Probe
	keep, limit time.Duration

	mu      sync.Mutex
	done    chan struct{} // closed when the probe that was started last has returned; nil before the first
	started time.Time
	err     error
}

func (c *cached) check() Finding {
	c.mu.Lock()
	first := c.done == nil
	if !c.running() && (first || time.Since(c.started) >= c.keep) {
		c.start()
	}
	done := c.done
	c.mu.Unlock()
	if first {
		select {
		case <-done:
		case <-time.After(c.limit):
		}
	}
	return c.finding()
}

func (c *cached) running() bool {
	if c.done == nil {
		return false
	}
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// start runs the probe. The caller holds mu.
func (c *cached) start() {
	done := make(chan struct{})
	c.done, c.started = done, time.Now()
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), c.limit)
		defer cancel()
		err := c.probe(ctx)
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
	}()
}

func (c *cached) finding() Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.running() && time.Since(c.started) >= c.limit:
		return Finding{Reasons: []string{fmt.Sprintf("%s does not answer within %s", c.name, c.limit)}}
	case errors.Is(c.err, ErrGPUDetached):
		return Finding{GPULost: true}
	case c.err != nil:
		return Finding{Reasons: []string{fmt.Sprintf("%s: %v", c.name, c.err)}, GPULost: errors.Is(c.err, ErrGPULost)}
	}
	return Finding{}
}
