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

func TestReleasedRowsDoNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeBatcher(t, f, 1, 4, 0)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = ask(t.Context(), s, 1, 0) })
		synctest.Wait()
		for i := range uint64(2) {
			wg.Go(func() {
				if _, err := ask(ctx, s, 90+i, 0); !errors.Is(err, context.Canceled) {
					t.Errorf("a canceled request got %v", err)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() {
			if got, err := ask(t.Context(), s, 2, 0); got != 2 || err != nil {
				t.Errorf("got %d, %v; want 2", got, err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		wg.Go(func() { _, _ = ask(t.Context(), s, 3, 0) }) // takes a freed row
		wg.Wait()
		if want := [][]uint64{{1}, {3, 0, 2}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
		closeAtRest(t, s, f)
	})
}

func TestDeadlineEndsTheWaitDuringARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Hour}
		s := fakeBatcher(t, f, 1, 1, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range uint64(5) { // one runs, one is committed, three wait for a slot
			wg.Go(func() {
				start := time.Now()
				_, err := ask(ctx, s, i, 0)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("got %v after %v; want the deadline's error after 1s", err, time.Since(start))
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(f.runs) != 1 {
			t.Errorf("%d runs, want 1: rows without a request must not run", len(f.runs))
		}
		closeAtRest(t, s, f)
	})
}

func TestFailedRunFailsItsOwnRowsOnly(t *testing.T) {
	broken := errors.New("broken")
	for name, fail := range map[string]func(int) error{
		"an error": func(run int) error {
			if run == 0 {
				return broken
			}
			return nil
		},
		"a panic": func(run int) error {
			if run == 0 {
				panic("broken")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: time.Millisecond, fail: fail}
				s := fakeBatcher(t, f, 1, 2, 0)
				var wg sync.WaitGroup
				errs := make([]error, 3)
				for i := range errs {
					wg.Go(func() { _, errs[i] = ask(t.Context(), s, uint64(i), 0) })
					synctest.Wait()
				}
				wg.Wait()
				if errs[0] == nil || errs[1] != nil || errs[2] != nil {
					t.Errorf("errors %v, want the first only", errs)
				}
				closeAtRest(t, s, f)
			})
		})
	}
}

func TestUnreadOutputsAreNotTheNextRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeBatcher(t, f, 1, 1, 0)
		for range 5 {
			h, err := s.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h.Input(0)
			h.Commit()
			time.Sleep(time.Minute)
			h.Release() // its run is over, but it never waited for it
			h.Release() // and twice
		}
		for i := range uint64(10) {
			if got, err := ask(t.Context(), s, i, 0); got != i || err != nil {
				t.Errorf("asked %d, got %d, %v", i, got, err)
			}
		}
		closeAtRest(t, s, f)
	})
}

func TestSlotGrantedToACanceledRequestIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{}
		s := fakeBatcher(t, f, 1, 1, 0)
		for range 200 {
			holder, err := s.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if h, err := s.Enter(ctx); err == nil {
					h.Release()
				}
			}()
			synctest.Wait()
			cancel()
			holder.Release() // at the same moment
			<-done
		}
		closeAtRest(t, s, f)
	})
}

func TestClaimedBatchWithoutRequestsDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeBatcher(t, f, 1, 4, 0)
		packs, commits := entered(t, s), entered(t, s)
		packs.Input(0)
		commits.Input(0)
		commits.Commit() // the idle instance claims the batch and waits for the other row
		commits.Release()
		packs.Release()
		if got, err := ask(t.Context(), s, 7, 0); got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if want := [][]uint64{{7}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
		closeAtRest(t, s, f)
	})
}

// entered is a handle that has a slot.
func entered(t *testing.T, s *Batcher) *Handle {
	t.Helper()
	h, err := s.Enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRunWithoutRequestsIsTerminated(t *testing.T) {
	for _, test := range []struct {
		name    string
		leave   []time.Duration // of the requests in the batch, after the start
		takes   time.Duration   // of the run; 0: until it is terminated
		endedAt time.Duration
	}{
		{"some time after the last request has gone", []time.Duration{time.Second, 3 * time.Second}, 0, 3*time.Second + abandonAfter},
		{"not while a request waits", []time.Duration{time.Second, time.Hour}, 0, time.Hour + abandonAfter},
		{"not when it ends by itself in that time", []time.Duration{time.Second, time.Second}, time.Second + abandonAfter/2, time.Second + abandonAfter/2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: test.takes, ends: test.takes == 0}
				s := fakeBatcher(t, f, 1, len(test.leave), time.Millisecond)
				var last Run
				var at time.Duration
				begin := time.Now()
				s.onRun = func(r Run) { last, at = r, time.Since(begin) }
				var wg sync.WaitGroup
				for i, leave := range test.leave {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), leave)
						defer cancel()
						if _, err := ask(ctx, s, uint64(i), 0); !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("request %d got %v", i, err)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(f.runs) != 1 || at.Round(10*time.Millisecond) != test.endedAt || errors.Is(last.Err, ErrAbandoned) != f.ends {
					t.Errorf("%d runs; the last ended after %s with %v; want %s", len(f.runs), at, last.Err, test.endedAt)
				}
				f.takes, f.ends = time.Second, false
				if got, err := ask(t.Context(), s, 7, 0); got != 7 || err != nil {
					t.Errorf("the next request got %d, %v", got, err)
				}
				closeAtRest(t, s, f)
			})
		})
	}
}
