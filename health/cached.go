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
	running bool
	started time.Time // zero before the first probe
	err     error
}

func (c *cached) check() Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.started.IsZero(); !c.running && (first || time.Since(c.started) >= c.keep) {
		c.running, c.started = true, time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), c.limit)
		go c.run(ctx, cancel)
		if first {
			c.mu.Unlock()
			<-ctx.Done()
			c.mu.Lock()
		}
	}
	switch {
	case c.running && time.Since(c.started) >= c.limit:
		return Finding{Reasons: []string{fmt.Sprintf("%s does not answer within %s", c.name, c.limit)}}
	case errors.Is(c.err, ErrGPUDetached):
		return Finding{GPULost: true}
	case c.err != nil:
		return Finding{Reasons: []string{fmt.Sprintf("%s: %v", c.name, c.err)}, GPULost: errors.Is(c.err, ErrGPULost)}
	}
	return Finding{}
}

// run runs the probe, and cancels its context once its result can be read.
func (c *cached) run(ctx context.Context, cancel context.CancelFunc) {
	defer cancel()
	err := c.probe(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.err = false, err
}
