package batcher

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tagged sends a value whose tag is the value, and returns the tags of the others in its run and the run's size.
func tagged(ctx context.Context, t *testing.T, b *Batcher, value uint64) (others []any, size int) {
	t.Helper()
	h, err := b.Enter(ctx)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	defer h.Release()
	binary.LittleEndian.PutUint64(h.Input(0), value)
	h.Tag(value)
	h.Commit()
	if err := h.Wait(ctx); err != nil {
		t.Error(err)
		return nil, 0
	}
	if h.Started().IsZero() || time.Since(h.Started()) < h.RunTime() {
		t.Errorf("started at %v, took %v", h.Started(), h.RunTime())
	}
	size, _ = h.Rows()
	return h.Others(), size
}

func TestOthersAreTheTagsOfTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		b := fakeBatcher(t, f, 1, 4, 0)
		want := map[uint64][]any{0: nil, 1: {uint64(3)}, 2: nil, 3: {uint64(1)}, 4: nil}
		var wg sync.WaitGroup
		for i := range uint64(5) { // 0 runs alone; 1, 2 and 3 share a run, 2 without a tag; 4 takes a row of 0's batch again
			if i == 4 {
				time.Sleep(100 * time.Millisecond)
			}
			wg.Go(func() {
				if i == 2 {
					_, _ = ask(t.Context(), b, i, 0)
					return
				}
				others, size := tagged(t.Context(), t, b, i)
				if wantSize := map[uint64]int{0: 1, 1: 3, 3: 3, 4: 1}[i]; !slices.Equal(others, want[i]) || size != wantSize {
					t.Errorf("request %d ran with %v in a run of %d, want %v and %d", i, others, size, want[i], wantSize)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		closeAtRest(t, b, f)
	})
}

func TestReleasedRowsLeaveNoTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeDevice{takes: 10 * time.Millisecond}
		b := fakeBatcher(t, f, 1, 4, 0)
		var wg sync.WaitGroup
		for i := range uint64(3) { // 0 runs; 1 gives up while its row waits; 2 runs without it
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() {
				defer cancel()
				if i == 1 {
					h, err := b.Enter(ctx)
					if err != nil {
						t.Error(err)
						return
					}
					h.Input(0)
					h.Tag(i)
					h.Commit()
					h.Release()
					return
				}
				if others, _ := tagged(ctx, t, b, i); len(others) != 0 {
					t.Errorf("request %d ran with %v", i, others)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		closeAtRest(t, b, f)
	})
}
