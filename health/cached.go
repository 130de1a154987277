package health

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Probe asks something slow, such as a driver, whether it answers. It should end when ctx does.
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

func (c *cached) check() []string {
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
	return c.reasons()
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

func (c *cached) reasons() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running() && time.Since(c.started) >= c.limit {
		return []string{fmt.Sprintf("%s does not answer within %s", c.name, c.limit)}
	}
	if c.err != nil {
		return []string{fmt.Sprintf("%s: %v", c.name, c.err)}
	}
	return nil
}
