package inference

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRowsOfClientsThatLeftAreDroppedBeforeTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		s := fakeScheduler(t, f, 1, 4, 0)
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
		rested(t, s, f)
	})
}

func TestDeadlineEndsTheWaitWhileTheRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Hour}
		s := fakeScheduler(t, f, 1, 1, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range uint64(5) { // one runs, one is committed, three wait for a place
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
			t.Errorf("%d runs, want 1: rows that nobody waits for must not run", len(f.runs))
		}
		rested(t, s, f)
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
				s := fakeScheduler(t, f, 1, 2, 0)
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
				rested(t, s, f)
			})
		})
	}
}

func TestAnswerThatNobodyReadIsNotTheNextOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeScheduler(t, f, 1, 1, 0)
		for range 5 {
			tk, err := s.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tk.lease()
			tk.commit()
			time.Sleep(time.Minute)
			tk.leave() // answered, but never waited for
			tk.leave() // and twice
		}
		for i := range uint64(10) {
			if got, err := ask(t.Context(), s, i, 0); got != i || err != nil {
				t.Errorf("asked %d, got %d, %v", i, got, err)
			}
		}
		rested(t, s, f)
	})
}

func TestPlaceGivenToAClientThatLeavesIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{}
		s := fakeScheduler(t, f, 1, 1, 0)
		for range 200 {
			holder, err := s.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if tk, err := s.enter(ctx); err == nil {
					tk.leave()
				}
			}()
			synctest.Wait()
			cancel()
			holder.leave() // at the same moment
			<-done
		}
		rested(t, s, f)
	})
}

func TestClaimedBatchThatEverybodyLeavesDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: time.Millisecond}
		s := fakeScheduler(t, f, 1, 4, 0)
		packs, commits := entered(t, s), entered(t, s)
		packs.lease()
		commits.lease()
		commits.commit() // the idle instance claims the batch and waits for the other row
		commits.leave()
		packs.leave()
		if got, err := ask(t.Context(), s, 7, 0); got != 7 || err != nil {
			t.Errorf("got %d, %v", got, err)
		}
		if want := [][]uint64{{7}}; !reflect.DeepEqual(f.runs, want) {
			t.Errorf("runs %v, want %v", f.runs, want)
		}
		rested(t, s, f)
	})
}

// entered is a ticket that has a place.
func entered(t *testing.T, s *scheduler) *ticket {
	t.Helper()
	tk, err := s.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tk
}
