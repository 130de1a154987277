package inference

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdleInstanceTakesWhatIsReadyAndBusyOnesLetTheBatchGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeScheduler(t, f, 1, 4, 0)
		var wg sync.WaitGroup
		for i := range uint64(6) { // one a millisecond: the first runs alone, the next four fill the batch
			wg.Go(func() {
				if got, err := ask(t.Context(), s, i, 0); got != i || err != nil {
					t.Errorf("asked %d, got %d, %v", i, got, err)
				}
			})
			synctest.Wait()
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if want := [][]uint64{{0}, {1, 2, 3, 4}, {5}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
		for i, want := range []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond} {
			if got := f.at[i].Sub(f.at[0]); got != want {
				t.Errorf("run %d began after %v, want %v: an instance was idle while rows waited", i, got, want)
			}
		}
		rested(t, s, f)
	})
}

func TestSecondInstanceTakesTheNextRowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeScheduler(t, f, 2, 4, 0)
		start := time.Now()
		var wg sync.WaitGroup
		for i := range uint64(2) {
			wg.Go(func() { _, _ = ask(t.Context(), s, i, 0) })
			synctest.Wait()
		}
		wg.Wait()
		if took := time.Since(start); took != 10*time.Millisecond || f.most != 2 {
			t.Errorf("two rows on two instances took %v, %d runs at once; want 10ms and 2", took, f.most)
		}
		rested(t, s, f)
	})
}

func TestMaxDelayHoldsTheBatchUntilItIsFullOrDue(t *testing.T) {
	for name, test := range map[string]struct {
		rows int
		want time.Duration
	}{
		"a batch that fills runs at once":           {rows: 4, want: 0},
		"a batch that does not runs when it is due": {rows: 3, want: 5 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: time.Millisecond}
				s := fakeScheduler(t, f, 1, 4, 5*time.Millisecond)
				start := time.Now()
				var wg sync.WaitGroup
				for i := range test.rows {
					wg.Go(func() { _, _ = ask(t.Context(), s, uint64(i), 0) })
				}
				wg.Wait()
				if len(f.runs) != 1 || len(f.runs[0]) != test.rows || f.at[0].Sub(start) != test.want {
					t.Errorf("runs %v, first after %v; want one of %d rows after %v", f.runs, f.at[0].Sub(start),
						test.rows, test.want)
				}
				rested(t, s, f)
			})
		})
	}
}

func TestClaimedBatchWaitsForItsPackersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeScheduler(t, f, 1, 4, 0)
		slow, err := s.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slow.lease()
		go func() { // gives up after 3 ms without ever committing
			time.Sleep(3 * time.Millisecond)
			slow.leave()
		}()
		start := time.Now()
		got, err := ask(t.Context(), s, 7, 0)
		if got != 7 || err != nil || time.Since(start) != 4*time.Millisecond {
			t.Errorf("got %d, %v after %v; want 7 after 4ms", got, err, time.Since(start))
		}
		if want := [][]uint64{{0, 7}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %x, want the abandoned row cleared: %x", f.runs, want)
		}
		rested(t, s, f)
	})
}

func TestBucketsArePaddedWithClearedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeScheduler(t, f, 1, 8, 0, 1, 2, 4, 8)
		var wg sync.WaitGroup
		for i := range uint64(8) {
			wg.Go(func() { _, _ = ask(t.Context(), s, 100+i, 0) })
			synctest.Wait()
		}
		wg.Wait()
		want := [][]uint64{{100}, {101, 102, 103, 104, 105, 106, 107, 0}}
		if !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
		rested(t, s, f)
	})
}

func TestPlacesAreGivenInTheOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeScheduler(t, f, 1, 1, 0)
		var wg sync.WaitGroup
		for i := range uint64(50) {
			wg.Go(func() { _, _ = ask(t.Context(), s, i, 0) })
			synctest.Wait()
		}
		wg.Wait()
		for i, run := range f.runs {
			if run[0] != uint64(i) {
				t.Fatalf("run %d was of request %d", i, run[0])
			}
		}
		rested(t, s, f)
	})
}

func TestLanesShareTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lanes []*lane
		f := &fakeDevice{takes: 10 * time.Millisecond}
		for range 3 {
			l, err := newLane(laneSpec{instances: 1, rows: 2, buckets: []int{1, 2}, inputs: 1, newRunner: f.runner(2)})
			if err != nil {
				t.Fatal(err)
			}
			lanes = append(lanes, l)
		}
		s := newScheduler(context.Background(), func(ran) {}, lanes...)
		var wg sync.WaitGroup
		for i := range uint64(3) {
			wg.Go(func() { _, _ = ask(t.Context(), s, i, 0) })
			synctest.Wait()
		}
		wg.Wait()
		if f.most != 3 {
			t.Errorf("%d runs at once, want 3: an idle device was left out", f.most)
		}
		rested(t, s, f)
	})
}

func TestOlderBatchesRunFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeScheduler(t, f, 2, 1, 0)
		var wg sync.WaitGroup
		for i := range uint64(20) {
			wg.Go(func() { _, _ = ask(t.Context(), s, i, 0) })
			synctest.Wait()
			time.Sleep(time.Millisecond) // so that the instances are not idle at the same moment
		}
		wg.Wait()
		for i, run := range f.runs {
			if run[0] != uint64(i) {
				t.Fatalf("run %d was of request %d", i, run[0])
			}
		}
		rested(t, s, f)
	})
}

func TestSlowReadersLeaveBatchesToFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeScheduler(t, f, 1, 1, 0)
		var wg sync.WaitGroup
		for i := range uint64(20) {
			wg.Go(func() {
				if got, err := askSlowly(t.Context(), s, i, 0, time.Second); got != i || err != nil {
					t.Errorf("asked %d, read %d, %v: its row was used again", i, got, err)
				}
			})
		}
		wg.Wait()
		rested(t, s, f)
	})
}
