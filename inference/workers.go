package inference

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// When a run takes all cores; see forRun.
const (
	mostMeetings = 0.5 // the share of images that meet others when they come
	meetingsMean = 16  // images that the share is a moving mean of
)

// cores are the processor's cores as decoding and runs on the CPU share them, first come first served. Hardly more
// threads compute than there are cores (see Config.workers): more would only take turns and push each other's data out of
// the caches.
type cores struct {
	all   int64
	free  *semaphore.Weighted
	large *semaphore.Weighted // of the images that take longer than largeFrom: all cores but one

	mu       sync.Mutex
	images   int     // accepted and not yet answered, of all models
	meetings float64 // the share of the last images that met others when they came
}

func newCores(n int) *cores {
	return &cores{all: int64(n), free: semaphore.NewWeighted(int64(n)), large: semaphore.NewWeighted(int64(max(1, n-1)))}
}

// largeFrom is the estimated time of an image that holds a core for long. Photographs of 12 megapixels take less.
const largeFrom = 100 * time.Millisecond

// turn waits until an image that may take so long may ask for a place and a core, and returns what is to be called once
// it is decoded. Large images wait for each other, first come first served, so that one core is left to the small ones and
// to runs: these need not wait for any number of large images, nor large ones for small ones, since at the cores both are
// served as they come. A single core they take in turn.
func (c *cores) turn(ctx context.Context, estimate time.Duration) (done func(), err error) {
	if estimate < largeFrom {
		return func() {}, nil
	}
	if err := c.large.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { c.large.Release(1) }), nil
}

// enter counts an image that comes in; leave is called once it is answered.
func (c *cores) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	met := 0.0
	if c.images > 0 {
		met = 1
	}
	c.meetings += (met - c.meetings) / meetingsMean
	c.images++
}

func (c *cores) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images--
}

// acquire takes one core; release gives it back.
func (c *cores) acquire(ctx context.Context) error { return c.free.Acquire(ctx, 1) }
func (c *cores) release()                          { c.free.Release(1) }

// forRun takes the cores for a run of some images: all of them when it can use them (wide) and these are the only
// images in the server, so that the answer comes sooner; else one, since runs side by side get more done than one after
// the other. For the same reason it is one while images often meet: those that come during a run on all cores wait for
// its end. The error is ctx's.
func (c *cores) forRun(ctx context.Context, images int, wide bool) (all bool, release func(), err error) {
	if wide && c.calm(images) && c.free.TryAcquire(c.all) {
		return true, func() { c.free.Release(c.all) }, nil
	}
	return false, c.release, c.acquire(ctx)
}

// calm says whether some images are all there are, and few meet others of late.
func (c *cores) calm(images int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.images <= images && c.meetings < mostMeetings
}
