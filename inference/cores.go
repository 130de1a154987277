package inference

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// cores are the processor's cores as decoding and runs on the CPU share them, first come first served. No more
// threads compute than there are cores: more would only take turns and push each other's data out of the caches.
type cores struct {
	all      int64
	free     *semaphore.Weighted
	pictures atomic.Int64 // accepted and not yet answered, of all models
}

func newCores(n int) *cores { return &cores{all: int64(n), free: semaphore.NewWeighted(int64(n))} }

// acquire takes one core; release gives it back.
func (c *cores) acquire(ctx context.Context) error { return c.free.Acquire(ctx, 1) }
func (c *cores) release()                          { c.free.Release(1) }

// forRun takes the cores for a run of some pictures: all of them when nothing else is in the server, so that the
// answer comes sooner; else one, since as many runs side by side get more done than one after the other.
func (c *cores) forRun(pictures int) (alone bool, release func()) {
	if c.pictures.Load() <= int64(pictures) && c.free.TryAcquire(c.all) {
		return true, func() { c.free.Release(c.all) }
	}
	if err := c.acquire(context.Background()); err != nil { // it fails only when its context ends, which this one never does
		panic(err)
	}
	return false, c.release
}
