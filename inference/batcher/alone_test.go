package batcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRowsOfAFailedRunRunAlone(t *testing.T) {
	picky, broken := errors.New("picky"), errors.New("broken")
	for name, c := range map[string]struct {
		fail    error // of the run of three rows
		refuse  map[uint64]error
		buckets []int
		want    [3]error
		alone   []uint64
	}{
		"one row is bad":                            {picky, map[uint64]error{1: picky}, nil, [3]error{1: picky}, []uint64{0, 1, 2}},
		"no row is bad alone":                       {picky, nil, nil, [3]error{}, []uint64{0, 1, 2}},
		"every row is bad":                          {picky, map[uint64]error{0: picky, 1: picky, 2: picky}, nil, [3]error{picky, picky, picky}, []uint64{0, 1, 2}},
		"padding is bad":                            {picky, nil, []int{1, 4}, [3]error{}, []uint64{0, 1, 2}},
		"the run fails for another reason":          {broken, nil, nil, [3]error{broken, broken, broken}, nil},
		"the device fails while rows run alone":     {picky, map[uint64]error{1: broken}, nil, [3]error{broken, broken, broken}, []uint64{0, 1}},
		"the file fixes the size of the batch at 3": {picky, nil, []int{3}, [3]error{picky, picky, picky}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: time.Millisecond, refuse: func(value uint64) error { return c.refuse[value] },
					fail: func(run int) error {
						if run == 0 {
							return c.fail
						}
						return nil
					}}
				var runs []Run
				s := New(context.Background(), func(r Run) { runs = append(runs, r) })
				f.add(t, s, GroupConfig{Instances: 1, Buckets: c.buckets, MaxDelay: time.Second,
					Separable: func(err error) bool { return errors.Is(err, picky) }}, slices.Max(append([]int{3}, c.buckets...)))
				s.Open()
				for round := range 2 {
					var wg sync.WaitGroup
					var errs [3]error
					for i := range errs {
						wg.Go(func() {
							got, err := ask(t.Context(), s, uint64(i), 0)
							if errs[i] = err; err == nil && got != uint64(i) {
								t.Errorf("asked %d, got %d", i, got)
							}
						})
						synctest.Wait()
					}
					wg.Wait()
					if want := c.want; round == 0 && errs != want || round == 1 && errs != [3]error{} {
						t.Errorf("round %d: errors %v, want %v", round, errs, want)
					}
				}
				if !slices.Equal(f.alone, c.alone) {
					t.Errorf("rows %v ran alone, want %v", f.alone, c.alone)
				}
				if alone := c.alone != nil; runs[0].Alone != alone || runs[1].Alone {
					t.Errorf("runs %+v", runs)
				}
				closeAtRest(t, s, f)
			})
		})
	}
}
