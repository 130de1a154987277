package batcher

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// askOfSize sends a value in a row of size bytes.
func askOfSize(ctx context.Context, b *Batcher, value uint64, size int, pack time.Duration) (uint64, error) {
	h, err := b.Enter(ctx)
	if err != nil {
		return 0, err
	}
	defer h.Release()
	if err := h.Reshape(0, []int64{int64(size)}); err != nil {
		return 0, err
	}
	input := h.Input(0)
	if len(input) != size {
		return 0, errors.New("the row has another size")
	}
	time.Sleep(pack)
	binary.LittleEndian.PutUint64(input, value)
	h.Commit()
	if err := h.Wait(ctx); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(h.Outputs()[0].Data), nil
}

// TestRowsOfRandomSizes sends rows of random sizes, some too small, and cancels some requests, in virtual time.
func TestRowsOfRandomSizes(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			f := &fakeDevice{takes: time.Millisecond}
			b := fakeBatcher(t, f, 1+rng.IntN(3), 1, 0)
			var wg sync.WaitGroup
			for i := range uint64(100) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+rng.IntN(80))*time.Millisecond)
				size, pack := 4+rng.IntN(60), time.Duration(rng.IntN(3))*time.Millisecond
				wg.Go(func() {
					defer cancel()
					got, err := askOfSize(ctx, b, i+1, size, pack)
					switch {
					case size < 8 && err != nil && (errors.Is(err, errShape) || errors.Is(err, context.DeadlineExceeded)):
					case size >= 8 && errors.Is(err, context.DeadlineExceeded):
					case size < 8 || err != nil || got != i+1:
						t.Errorf("a row of %d bytes: %d, %v", size, got, err)
					}
				})
				time.Sleep(time.Duration(rng.IntN(2)) * time.Millisecond)
			}
			wg.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			closeAtRest(t, b, f)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestLargerBatchesAreNotReshaped(t *testing.T) {
	f := &fakeDevice{}
	b := fakeBatcher(t, f, 1, 2, 0)
	if _, err := askOfSize(t.Context(), b, 1, 16, 0); err == nil || !strings.Contains(err.Error(), "batches of 2 rows") {
		t.Errorf("a row of a batch of two was reshaped: %v", err)
	}
	closeAtRest(t, b, f)
}
