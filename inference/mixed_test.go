package inference

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"fovea/internal/apierror"
)

// TestMixedTrafficFreesEverything sends good, bad and aborted images to two models, one of which is replaced
// meanwhile. TestMain then looks for native memory and goroutines that were not freed.
func TestMixedTrafficFreesEverything(t *testing.T) {
	r := newRepository(t).define("one", colors+"batching: {max_size: 4, queue: 12}\n").add("one", 1, "colors")
	r.define("four", colors+"instances: [{device: cpu, count: 3}]\n").add("four", 1, "colors-fixed4")
	e := r.synced(nil)
	good, large := plain(t, green, 30, 20), plain(t, green, 900, 700)
	allowed := map[apierror.Code]bool{apierror.Undecodable: true, apierror.UnsupportedFormat: true, apierror.Canceled: true,
		apierror.DeadlineExceeded: true, apierror.QueueFull: true}
	var wg sync.WaitGroup
	for worker := range uint64(16) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(worker, 7))
			for range 60 {
				image := [][]byte{good, large, good[:len(good)/2], []byte("nothing"), nil}[rng.IntN(5)]
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				if rng.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rng.IntN(3000))*time.Microsecond)
				}
				got, err := e.Predict(ctx, Request{Model: []string{"one", "four"}[rng.IntN(2)], Image: image})
				cancel()
				if err == nil && first(got) != "green" || err != nil && !allowed[apierror.From(err).Code] {
					t.Errorf("got %q, %v", first(got), err)
				}
			}
		})
	}
	for version := 2; version < 6; version++ {
		r.add("one", version, "colors")
		if err := e.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	until(t, "rest", func() bool { return states(e) == "four/1:ready one/5:ready" })
	until(t, "the end of runs without requests", func() bool { return idle(e) })
	atRest(t, e)
}

// idle reports whether every instance has finished.
func idle(e *Engine) bool {
	for _, m := range e.models {
		for _, v := range m.served {
			if v.batcher.InUse() != nil {
				return false
			}
		}
	}
	return true
}
