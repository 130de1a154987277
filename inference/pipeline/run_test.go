package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestParallelCallsEachOnceWithinItsWidth(t *testing.T) {
	for _, test := range []struct{ width, n int }{{1, 0}, {4, 1}, {1, 9}, {3, 100}, {100, 3}} {
		calls := make([]atomic.Int64, test.n)
		var at, most atomic.Int64
		err := parallel(t.Context(), test.width, test.n, func(_ context.Context, i int) error {
			now := at.Add(1)
			defer at.Add(-1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			calls[i].Add(1)
			return nil
		})
		if err != nil || most.Load() > int64(test.width) {
			t.Errorf("%+v: %d at once, %v", test, most.Load(), err)
		}
		for i := range calls {
			if calls[i].Load() != 1 {
				t.Errorf("%+v: %d is called %d times", test, i, calls[i].Load())
			}
		}
	}
}

func TestParallelReturnsTheFirstErrorAndCancelsTheOthers(t *testing.T) {
	failure := errors.New("of the third")
	begun := make(chan struct{}, 2)
	var late atomic.Int64
	err := parallel(t.Context(), 3, 50, func(ctx context.Context, i int) error {
		switch {
		case i == 2:
			<-begun
			<-begun
			return failure
		case i > 2:
			late.Add(1)
			return nil
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	if !errors.Is(err, failure) || late.Load() > 0 {
		t.Errorf("%v, and %d calls after it", err, late.Load())
	}
}

func TestParallelTurnsPanicsIntoErrors(t *testing.T) {
	err := parallel(t.Context(), 2, 2, func(context.Context, int) error { panic("defect") })
	if err == nil {
		t.Error("no error")
	}
}

func TestParallelEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := parallel(ctx, 2, 100, func(_ context.Context, i int) error {
		if i == 1 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
