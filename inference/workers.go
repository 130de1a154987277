package inference

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"fovea/preprocess/header"
)

// When a run uses all cores; see acquireRun.
const (
	maxConcurrency    = 0.5 // the largest share of images that arrive while others are in the server
	concurrencyWindow = 16  // images over which the share is a moving mean
)

// workers bounds how many CPU cores decoding, packing and runs use at once (inference.workers). All models share them, first
// come, first served. There are hardly more than cores (see Config.workers): more threads would only take turns and
// evict each other's data from the caches.
type workers struct {
	all   int64
	free  *semaphore.Weighted
	large *semaphore.Weighted // of the images that take longer than largeImage: all but one

	mu          sync.Mutex
	images      int     // in the server: accepted and not yet answered, of all models
	concurrency float64 // the share of the last images that arrived while others were in the server
}

func newWorkers(n int) *workers {
	return &workers{all: int64(n), free: semaphore.NewWeighted(int64(n)), large: semaphore.NewWeighted(int64(max(1, n-1)))}
}

// largeImage is the estimated decoding time of an image that holds a worker for long. Photographs of 12 megapixels take
// less.
const largeImage = 100 * time.Millisecond

// imageWork is one image's use of the workers.
type imageWork struct {
	w       *workers
	large   bool // holds one of workers.large
	working bool // holds a worker
}

// enter counts an image that is to be decoded, and waits until it may ask for a slot and a worker. Only large images
// wait, for each other, first come, first served: one worker is left to small images and to runs, which then need not
// wait for any number of large images, nor large ones for small ones, since workers are granted in order. A single
// worker they take in turn. The error is ctx's; without one, leave must be called.
func (w *workers) enter(ctx context.Context, estimate time.Duration) (imageWork, error) {
	work := imageWork{w: w}
	w.count(1)
	if estimate < largeImage {
		return work, nil
	}
	if err := w.large.Acquire(ctx, 1); err != nil {
		w.count(-1)
		return work, err
	}
	work.large = true
	return work, nil
}

// count changes the number of images, or rows of tensors, in the server.
func (w *workers) count(change int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if change > 0 {
		met := 0.0
		if w.images > 0 {
			met = 1
		}
		w.concurrency += (met - w.concurrency) / concurrencyWindow
	}
	w.images += change
}

// acquire waits for a worker. The error is ctx's.
func (i *imageWork) acquire(ctx context.Context) error {
	if err := i.w.free.Acquire(ctx, 1); err != nil {
		return err
	}
	i.working = true
	return nil
}

// release gives back what decoding holds: the worker, and a large image's turn. A second call does nothing.
func (i *imageWork) release() {
	if i.working {
		i.w.free.Release(1)
	}
	if i.large {
		i.w.large.Release(1)
	}
	i.working, i.large = false, false
}

// leave is called once the image is answered or refused.
func (i *imageWork) leave() {
	i.release()
	i.w.count(-1)
}

// acquireRun waits for the workers that a run of some images takes. It takes all of them when the model has a parallel
// session and these images are the only ones in the server, for a lower latency; else one, since runs on one core each
// have the higher throughput. For the same reason it takes one while images often arrive concurrently: those that
// arrive during a run on all cores wait for its end. The error is ctx's cause.
func (w *workers) acquireRun(ctx context.Context, images int, parallel bool) (all bool, release func(), err error) {
	if parallel && w.idle(images) && w.free.TryAcquire(w.all) {
		return true, func() { w.free.Release(w.all) }, nil
	}
	if w.free.Acquire(ctx, 1) != nil {
		return false, nil, context.Cause(ctx)
	}
	return false, func() { w.free.Release(1) }, nil
}

// idle reports whether no other images than these are in the server, and few arrive concurrently.
func (w *workers) idle(images int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.images <= images && w.concurrency < maxConcurrency
}

// sparePoll is how often spare looks.
const sparePoll = 5 * time.Millisecond

// spare waits until one more image makes no other wait, as a core is idle, but for patience at most, so that a server that is never
// idle cannot stop what waits. The error is ctx's cause.
func (w *workers) spare(ctx context.Context, patience time.Duration) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !w.hasSpare() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return nil
		case <-time.After(sparePoll):
		}
	}
	return nil
}

// hasSpare reports whether fewer images are in the server than cores, of which there is one less than workers.
func (w *workers) hasSpare() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(w.images) < max(1, w.all-1)
}

// pixelBudget bounds the pixels of the decoded images that pipelines hold.
type pixelBudget struct {
	*semaphore.Weighted

	all int64
}

// newPixelBudget is of as many pixels as the largest image that is allowed, or as keptPerWorker for each worker.
func newPixelBudget(maxPixels int64, workers int) pixelBudget {
	all := max(maxPixels, int64(workers)*keptPerWorker)
	return pixelBudget{semaphore.NewWeighted(all), all}
}

// weigh returns the pixels of an image.
func (b pixelBudget) weigh(info header.Info) int64 {
	return min(int64(info.Width)*int64(info.Height), b.all)
}
