package inference

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// coresScheduler is a scheduler of one lane over fake runners whose runs need cores.
func coresScheduler(t *testing.T, f *fakeDevice, instances, rows int, c *cores) *scheduler {
	t.Helper()
	l, err := newLane(laneSpec{device: "cpu", instances: instances, rows: rows, buckets: []int{rows}, inputs: 1,
		newRunner: f.runner(rows), cores: c})
	if err != nil {
		t.Fatal(err)
	}
	return newScheduler(context.Background(), func(ran) {}, l)
}

func TestRunsThatNeedACoreWaitForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Second}
		c := newCores(2)
		s := coresScheduler(t, f, 4, 1, c)
		c.images = 5
		if err := c.acquire(t.Context()); err != nil { // an image is being decoded
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range uint64(4) {
			wg.Go(func() {
				if got, err := ask(t.Context(), s, i, 0); got != i || err != nil {
					t.Errorf("asked %d, got %d, %v", i, got, err)
				}
			})
		}
		time.Sleep(2500 * time.Millisecond) // two are answered, one after the other; the third runs
		c.release()                         // the fourth runs beside it
		wg.Wait()
		if took := time.Since(start); f.most != 2 || took != 3500*time.Millisecond {
			t.Errorf("%d ran at once, and all took %s; want 2, and 3.5 s", f.most, took)
		}
		if f.wide != 0 {
			t.Errorf("%d runs took all cores while other images were in the server", f.wide)
		}
		rested(t, s, f)
	})
}

func TestRunOfAllImagesThereAreTakesAllCores(t *testing.T) {
	for name, test := range map[string]struct {
		images   int // in the server
		meetings float64
		rows     int  // of the batch that runs
		held     bool // a core, by an image that is decoded
		narrow   bool // the model has no session for all cores
		wide     int
	}{
		"an image alone":          {images: 1, rows: 1, wide: 1},
		"one of two images":       {images: 2, rows: 1, wide: 0},
		"two images in one batch": {images: 2, rows: 2, wide: 1},
		"an image alone while somebody still holds a core": {images: 1, rows: 1, held: true, wide: 0},
		"an image alone, of a model that runs on one core": {images: 1, rows: 1, narrow: true, wide: 0},
		"an image alone where few met others":              {images: 1, rows: 1, meetings: 0.49, wide: 1},
		"an image alone where many met others":             {images: 1, rows: 1, meetings: 0.5, wide: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: time.Second, narrow: test.narrow}
				c := newCores(2)
				s := coresScheduler(t, f, 1, test.rows, c)
				c.images, c.meetings = test.images, test.meetings
				if test.held {
					if err := c.acquire(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				var tickets []*ticket
				for range test.rows {
					k, err := s.enter(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					k.lease()
					tickets = append(tickets, k)
				}
				for _, k := range tickets {
					k.commit()
				}
				for _, k := range tickets {
					if err := k.wait(t.Context()); err != nil {
						t.Error(err)
					}
					k.leave()
				}
				if f.wide != test.wide {
					t.Errorf("%d runs took all cores, want %d", f.wide, test.wide)
				}
				if test.held {
					c.release()
				}
				if synctest.Wait(); !c.free.TryAcquire(c.all) {
					t.Error("a core is held after the run")
				}
				rested(t, s, f)
			})
		})
	}
}

func TestMeetingsAreAMovingMean(t *testing.T) {
	c := newCores(2)
	alone := func(n int) {
		for range n {
			c.enter()
			c.leave()
		}
	}
	if alone(100); !c.calm(1) {
		t.Error("images that come one after the other are not calm")
	}
	c.enter()
	for range 100 { // each finds one that is there
		c.enter()
		c.leave()
	}
	c.leave()
	if c.calm(1) {
		t.Error("after images that all met another it is calm at once")
	}
	if alone(meetingsMean); !c.calm(1) {
		t.Error("it is not calm again after as many images alone as the mean is of")
	}
}

// TestLargeImagesLeaveACoreToOthers lets images of random kinds come at random times, many more large ones than there are
// cores, each of which first waits for its turn and then for a core as in predict.
func TestLargeImagesLeaveACoreToOthers(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			n := 2 + random.IntN(6)
			c := newCores(n)
			const takesLarge, takesSmall = 5 * time.Second, 10 * time.Millisecond
			var large atomic.Int64
			var group sync.WaitGroup
			image := func(estimate, takes, longest time.Duration) {
				came := time.Now()
				done, err := c.turn(t.Context(), estimate)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				if err := c.acquire(t.Context()); err != nil {
					t.Error(err)
					return
				}
				defer c.release()
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
			for range large16 { // all at once; each waits for those before it and for small ones on the way to a core
				group.Go(func() {
					image(largeFrom, takesLarge, (large16/time.Duration(n-1)+1)*(takesLarge+small100*takesSmall))
				})
			}
			for range small100 {
				time.Sleep(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
				group.Go(func() { image(largeFrom-1, takesSmall, small100*takesSmall) })
			}
			group.Wait()
			if !c.free.TryAcquire(c.all) || !c.large.TryAcquire(int64(n-1)) {
				t.Error("a core or a turn is held after all images")
			}
		})
	}
}

func TestATurnIsGivenUpWithItsRequest(t *testing.T) {
	c := newCores(2)
	done, err := c.turn(t.Context(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.turn(ended, time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("%v for a request that has ended", err)
	}
	done()
	done() // a second time does nothing
	for range 2 {
		if done, err = c.turn(t.Context(), time.Second); err != nil {
			t.Fatal(err)
		}
		done()
	}
}
