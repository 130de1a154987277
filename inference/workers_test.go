package inference

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunUsesAllWorkersForTheOnlyImages(t *testing.T) {
	for name, test := range map[string]struct {
		images      int // in the server
		concurrency float64
		rows        int  // of the batch that runs
		held        bool // a worker, by an image that is decoded
		single      bool // the model has no parallel session
		all         bool
	}{
		"a single image":                                {images: 1, rows: 1, all: true},
		"one of two images":                             {images: 2, rows: 1},
		"two images in one batch":                       {images: 2, rows: 2, all: true},
		"a single image while a worker is held":         {images: 1, rows: 1, held: true},
		"a single image without parallel session":       {images: 1, rows: 1, single: true},
		"a single image where few arrive concurrently":  {images: 1, rows: 1, concurrency: 0.49, all: true},
		"a single image where many arrive concurrently": {images: 1, rows: 1, concurrency: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkers(2)
			w.images, w.concurrency = test.images, test.concurrency
			if test.held {
				p := imageWork{w: w}
				if err := p.acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer p.release()
			}
			all, release, err := w.acquireRun(t.Context(), test.rows, !test.single)
			if all != test.all || err != nil {
				t.Fatalf("all %v, %v; want %v", all, err, test.all)
			}
			if free := w.free.TryAcquire(1); free == (all || test.held) {
				t.Errorf("another worker is free: %v", free)
			} else if free {
				w.free.Release(1)
			}
			release()
			w.images = 0
			if !test.held {
				checkReleased(t, w)
			}
		})
	}
}

func TestRunWaitsForAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkers(1)
		w.images = 2
		p := imageWork{w: w}
		if err := p.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		time.AfterFunc(time.Second, p.release)
		_, release, err := w.acquireRun(t.Context(), 1, true)
		if waited := time.Since(begin); waited != time.Second || err != nil {
			t.Fatalf("after %v, %v; want the worker after 1s", waited, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errClosed)
		if _, _, err := w.acquireRun(ctx, 1, false); !errors.Is(err, errClosed) {
			t.Errorf("%v; want the cause of the end", err)
		}
		release()
		w.images = 0
		checkReleased(t, w)
	})
}

// checkReleased checks that no image is counted and no worker is held.
func checkReleased(t *testing.T, w *workers) {
	t.Helper()
	w.mu.Lock()
	if w.images != 0 {
		t.Errorf("%d images are counted as being in the server", w.images)
	}
	w.mu.Unlock()
	if !w.free.TryAcquire(w.all) {
		t.Error("a worker is held")
	} else {
		w.free.Release(w.all)
	}
	if large := max(1, w.all-1); !w.large.TryAcquire(large) {
		t.Error("the turn of a large image is held")
	} else {
		w.large.Release(large)
	}
}

func TestConcurrencyIsAMovingMean(t *testing.T) {
	w := newWorkers(2)
	alone := func(n int) {
		for range n {
			w.count(1)
			w.count(-1)
		}
	}
	if alone(100); !w.idle(1) {
		t.Error("not idle while images arrive one after the other")
	}
	w.count(1)
	for range 100 { // each arrives while another is in the server
		w.count(1)
		w.count(-1)
	}
	w.count(-1)
	if w.idle(1) {
		t.Error("idle immediately after many concurrent images")
	}
	if alone(concurrencyWindow); !w.idle(1) {
		t.Error("not idle after as many single images as the mean covers")
	}
}

// TestCountsAreLocked checks that nothing counts images while another goroutine holds the lock. Without it, updates
// would be lost, but too rarely for a test that counts.
func TestCountsAreLocked(t *testing.T) {
	w := newWorkers(3)
	p, err := w.enter(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	q := &queue{bound: 2, report: func(int) {}}
	if err := q.enter(1, "a", 0); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		mu   *sync.Mutex
		f    func()
	}{
		{"workers.enter", &w.mu, func() { _, _ = w.enter(t.Context(), 0) }},
		{"imageWork.leave", &w.mu, p.leave},
		{"workers.idle", &w.mu, func() { w.idle(1) }},
		{"queue.enter", &q.mu, func() { _ = q.enter(1, "a", 0) }},
		{"queue.leave", &q.mu, func() { q.leave(1, "a") }},
		{"queue.len", &q.mu, func() { q.len() }},
	} {
		done := make(chan struct{})
		test.mu.Lock()
		go func() {
			defer close(done)
			test.f()
		}()
		for range 1000 { // until the goroutine waits or is done
			runtime.Gosched()
		}
		select {
		case <-done:
			t.Errorf("%s does not wait for the lock", test.name)
		default:
		}
		test.mu.Unlock()
		<-done
	}
	w.count(-1)
	checkReleased(t, w)
}

// TestPermitsReleaseWhatTheyHold leaves at random points, also without having released or got anything.
func TestPermitsReleaseWhatTheyHold(t *testing.T) {
	w := newWorkers(3)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	var group sync.WaitGroup
	for seed := range uint64(8) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 1000 {
				ctx, estimate := t.Context(), time.Duration(random.IntN(2))*largeImage
				if random.IntN(8) == 0 {
					ctx = canceled
				}
				p, err := w.enter(ctx, estimate)
				if err != nil {
					continue
				}
				if random.IntN(4) > 0 && p.acquire(ctx) == nil && random.IntN(2) == 0 {
					p.release()
				}
				p.leave()
			}
		})
	}
	group.Wait()
	checkReleased(t, w)
}

// TestLargeImagesLeaveAWorkerToOthers lets images of random kinds come at random times, many more large ones than there are
// workers, each of which first waits for its turn and then for a worker.
func TestLargeImagesLeaveAWorkerToOthers(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			n := 2 + random.IntN(6)
			w := newWorkers(n)
			const takesLarge, takesSmall = 5 * time.Second, 10 * time.Millisecond
			var large atomic.Int64
			var group sync.WaitGroup
			image := func(estimate, takes, longest time.Duration) {
				came := time.Now()
				p, err := w.enter(t.Context(), estimate)
				if err != nil {
					t.Error(err)
					return
				}
				defer p.leave()
				if err := p.acquire(t.Context()); err != nil {
					t.Error(err)
					return
				}
				if waited := time.Since(came); waited > longest {
					t.Errorf("seed %d, %d cores: an image of %v waited for %v, longer than %v", seed, n, takes, waited, longest)
				}
				if takes == takesLarge {
					if now := large.Add(1); now > int64(n-1) {
						t.Errorf("seed %d: %d large images on %d cores", seed, now, n)
					}
					defer large.Add(-1)
				}
				time.Sleep(takes)
			}
			const large16, small100 = 16, 100
			for range large16 { // all at once; each waits for those before it and for small ones on the way to a worker
				group.Go(func() {
					image(largeImage, takesLarge, (large16/time.Duration(n-1)+1)*(takesLarge+small100*takesSmall))
				})
			}
			for range small100 {
				time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
				group.Go(func() { image(largeImage-1, takesSmall, small100*takesSmall) })
			}
			group.Wait()
			checkReleased(t, w)
		})
	}
}

func TestLargeImageGivesUpItsTurnWithItsRequest(t *testing.T) {
	w := newWorkers(2)
	p, err := w.enter(t.Context(), largeImage)
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.enter(canceled, largeImage); !errors.Is(err, context.Canceled) {
		t.Errorf("%v for a canceled request", err)
	}
	p.release() // decoded: the next may start
	next, err := w.enter(t.Context(), largeImage)
	if err != nil {
		t.Fatal(err)
	}
	p.leave()
	next.leave()
	checkReleased(t, w)
}
