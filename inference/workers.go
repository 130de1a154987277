package inference

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// When a run takes all cores; see forRun.
const (
	mostMeetings = 0.5 // the share of pictures that meet others when they come
	meetingsMean = 16  // pictures that the share is a moving mean of
)

// cores are the processor's cores as decoding and runs on the CPU share them, first come first served. Hardly more
// threads compute than there are cores (see Config.workers): more would only take turns and push each other's data out of
// the caches.
type cores struct {
	all  int64
	free *semaphore.Weighted

	mu       sync.Mutex
	pictures int     // accepted and not yet answered, of all models
	meetings float64 // the share of the last pictures that met others when they came
}

func newCores(n int) *cores { return &cores{all: int64(n), free: semaphore.NewWeighted(int64(n))} }

// enter counts a picture that comes in; leave is called once it is answered.
func (c *cores) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	met := 0.0
	if c.pictures > 0 {
		met = 1
	}
	c.meetings += (met - c.meetings) / meetingsMean
	c.pictures++
}

func (c *cores) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pictures--
}

// acquire takes one core; release gives it back.
func (c *cores) acquire(ctx context.Context) error { return c.free.Acquire(ctx, 1) }
func (c *cores) release()                          { c.free.Release(1) }

// forRun takes the cores for a run of some pictures: all of them when it can use them (wide) and these are the only
// pictures in the server, so that the answer comes sooner; else one, since runs side by side get more done than one after
// the other. For the same reason it is one while pictures often meet: those that come during a run on all cores wait for
// its end. The error is ctx's.
func (c *cores) forRun(ctx context.Context, pictures int, wide bool) (all bool, release func(), err error) {
	if wide && c.calm(pictures) && c.free.TryAcquire(c.all) {
		return true, func() { c.free.Release(c.all) }, nil
	}
	return false, c.release, c.acquire(ctx)
}

// calm says whether some pictures are all there are, and few meet others of late.
func (c *cores) calm(pictures int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pictures <= pictures && c.meetings < mostMeetings
}
