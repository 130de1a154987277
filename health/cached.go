package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	// ErrGPULost marks a probe's error: this process can no longer reach its GPU, whatever the GPU's own health.
	ErrGPULost = errors.New("this process has lost its GPU")
	// ErrGPUDetached marks the error of a GPU that still computes for this process but cannot be opened again. The server
	// stays ready.
	ErrGPUDetached = errors.New("this process may no longer open its GPU")
)

// Probe checks something slow, such as a driver. It should end when ctx does. Its error may wrap ErrGPULost or
// ErrGPUDetached.
type Probe func(ctx context.Context) error

// Cached turns a slow probe into a Check. The probe runs at most once per keep and never concurrently; in between, the last
// result is returned. A probe that takes longer than limit makes the server unready until it returns; its goroutine stays,
// and no second one is started, since a driver may hang indefinitely. The first call waits for the probe, up to limit;
// later calls never wait.
func Cached(name string, probe Probe, keep, limit time.Duration) Check {
	c := &cached{name: name, probe: probe, keep: keep, limit: limit}
	return c.check
}

type cached struct {
	name        string
	probe       Probe
	keep, limit time.Duration

	mu      sync.Mutex
	done    chan struct{} // closed when the last probe has returned; nil before the first
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
