package batcher

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestBatchGrowsOnlyWhileInstancesAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeBatcher(t, f, 1, 4, 0)
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
		closeAtRest(t, s, f)
	})
}

func TestSecondInstanceTakesTheNextRowAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeBatcher(t, f, 2, 4, 0)
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
		closeAtRest(t, s, f)
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
				s := fakeBatcher(t, f, 1, 4, 5*time.Millisecond)
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
				closeAtRest(t, s, f)
			})
		})
	}
}

func TestClaimedBatchWaitsForItsPackersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeBatcher(t, f, 1, 4, 0)
		slow, err := s.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slow.Input(0)
		go func() { // gives up after 3 ms without ever committing
			time.Sleep(3 * time.Millisecond)
			slow.Release()
		}()
		start := time.Now()
		got, err := ask(t.Context(), s, 7, 0)
		if got != 7 || err != nil || time.Since(start) != 4*time.Millisecond {
			t.Errorf("got %d, %v after %v; want 7 after 4ms", got, err, time.Since(start))
		}
		if want := [][]uint64{{0, 7}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %x, want the abandoned row cleared: %x", f.runs, want)
		}
		closeAtRest(t, s, f)
	})
}

func TestBucketsArePaddedWithClearedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeBatcher(t, f, 1, 8, 0, 1, 2, 4, 8)
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
		closeAtRest(t, s, f)
	})
}

func TestSlotsAreGrantedInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeBatcher(t, f, 1, 1, 0)
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
		closeAtRest(t, s, f)
	})
}

func TestGroupsShareTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := New(context.Background(), func(Run) {})
		for range 3 {
			f.add(t, s, GroupConfig{Instances: 1}, 2)
		}
		s.Open()
		var wg sync.WaitGroup
		for i := range uint64(3) {
			wg.Go(func() { _, _ = ask(t.Context(), s, i, 0) })
			synctest.Wait()
		}
		wg.Wait()
		if f.most != 3 {
			t.Errorf("%d runs at once, want 3: an idle device was left out", f.most)
		}
		closeAtRest(t, s, f)
	})
}

func TestOlderBatchesRunFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeBatcher(t, f, 2, 1, 0)
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
		closeAtRest(t, s, f)
	})
}

func TestSlowReadersLeaveBatchesToFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeBatcher(t, f, 1, 1, 0)
		var wg sync.WaitGroup
		for i := range uint64(20) {
			wg.Go(func() {
				if got, err := askSlowly(t.Context(), s, i, 0, time.Second); got != i || err != nil {
					t.Errorf("asked %d, read %d, %v: its row was used again", i, got, err)
				}
			})
		}
		wg.Wait()
		closeAtRest(t, s, f)
	})
}

func TestIsolatedGroupIsTheOnlyOneUntilOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		acquired := 0
		b := New(context.Background(), func(Run) {})
		for _, device := range []string{"cuda:0", "cuda:1"} {
			cfg := GroupConfig{Device: device, Instances: 1, Buckets: []int{1, 2}, Inputs: 1, MaxDelay: time.Minute,
				Acquire: func(context.Context, int, bool) (bool, func(), error) { acquired++; return false, func() {}, nil }}
			if _, err := b.Add(cfg, f.runner(2)); err != nil {
				t.Fatal(err)
			}
		}
		for _, g := range b.groups {
			b.Isolate(g)
			h := entered(t, b)
			if h.Device() != g.Device() {
				t.Errorf("runs on %s; want %s alone", h.Device(), g.Device())
			}
			start := time.Now()
			h.Input(0)
			h.Commit()
			if err := h.Wait(t.Context()); err != nil || time.Since(start) != f.takes || acquired != 0 {
				t.Errorf("%v after %v, %d workers acquired; want a run at once, without workers", err, time.Since(start), acquired)
			}
			h.Release()
		}
		b.Open()
		start := time.Now()
		if _, err := ask(t.Context(), b, 1, 0); err != nil || time.Since(start) != time.Minute+f.takes || acquired != 1 {
			t.Errorf("%v after %v, %d workers acquired; want MaxDelay and one", err, time.Since(start), acquired)
		}
		closeAtRest(t, b, f)
	})
}

// TestRunsAcquireWorkers checks what a run asks for, how it runs then, and that it gives back what it got.
func TestRunsAcquireWorkers(t *testing.T) {
	for name, test := range map[string]struct {
		single   bool // no parallel session
		all      bool // all workers are given
		err      error
		parallel int // runs
	}{
		"one worker":                           {},
		"all workers":                          {all: true, parallel: 1},
		"one worker, without parallel session": {single: true},
		"none before the run is terminated":    {err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: time.Millisecond, single: test.single}
				held := 0
				b := New(context.Background(), func(Run) {})
				f.add(t, b, GroupConfig{Instances: 1, Buckets: []int{2},
					Acquire: func(ctx context.Context, images int, parallel bool) (bool, func(), error) {
						if images != 2 || parallel == test.single || ctx.Err() != nil {
							t.Errorf("asked for %d images, parallel %v, %v", images, parallel, ctx.Err())
						}
						if test.err != nil {
							return false, nil, test.err
						}
						held++
						return test.all, func() { held-- }, nil
					}}, 2)
				b.Open()
				first, second := entered(t, b), entered(t, b)
				for _, h := range []*Handle{first, second} {
					h.Input(0)
				}
				for _, h := range []*Handle{first, second} {
					h.Commit()
				}
				for _, h := range []*Handle{first, second} {
					if err := h.Wait(t.Context()); !errors.Is(err, test.err) {
						t.Errorf("got %v, want %v", err, test.err)
					}
					h.Release()
				}
				want := 1
				if test.err != nil {
					want = 0
				}
				if len(f.runs) != want || f.parallel != test.parallel || held != 0 {
					t.Errorf("%d runs, %d on all cores, %d workers still held; want %d, %d, 0", len(f.runs), f.parallel, held, want, test.parallel)
				}
				closeAtRest(t, b, f)
			})
		})
	}
}

func TestCloseWaitsForRunsWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: abandonAfter / 2}
		b := fakeBatcher(t, f, 1, 1, 0)
		h := entered(t, b)
		h.Input(0)
		h.Commit()
		synctest.Wait() // it runs
		h.Release()
		start := time.Now()
		if err := b.Close(); err != nil || time.Since(start) != f.takes || f.open != 0 {
			t.Errorf("%v after %v, %d runners open; want none after %v", err, time.Since(start), f.open, f.takes)
		}
	})
}

func TestCloseReportsHandlesThatWereNotReleased(t *testing.T) {
	b := fakeBatcher(t, &fakeDevice{}, 1, 1, 0)
	entered(t, b)
	if err := b.Close(); err == nil || err.Error() != "in use on cpu: free slots 0 of 1, idle instances 1 of 1, free batches 3 of 3, requests waiting 0" {
		t.Error(err)
	}
}
