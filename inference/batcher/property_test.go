package batcher

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// traffic is one random course of events.
type traffic struct {
	rng     *rand.Rand
	s       *Batcher
	f       *fakeDevice
	mu      sync.Mutex
	answers map[uint64]int
	errs    map[error]int
}

var errRun = errors.New("run failed")

// TestInvariantsUnderRandomTraffic sends random arrivals, packing times, cancellations, deadlines, abandoned rows
// and failing runs through batchers of random shape, in virtual time.
func TestInvariantsUnderRandomTraffic(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			f := &fakeDevice{takes: time.Duration(1+rng.IntN(20)) * time.Millisecond}
			failing := rng.IntN(3) == 0
			f.fail = func(run int) error {
				if failing && run%5 == 4 {
					return errRun
				}
				return nil
			}
			instances, rows := 1+rng.IntN(3), 1+rng.IntN(8)
			buckets := []int{rows}
			for b := 1; b < rows; b *= 2 {
				buckets = append(buckets[:len(buckets)-1], b, rows)
			}
			delay := time.Duration(rng.IntN(2)*rng.IntN(9)) * time.Millisecond
			s := fakeBatcher(t, f, instances, rows, delay, buckets...)
			tr := &traffic{rng: rng, s: s, f: f, answers: map[uint64]int{}, errs: map[error]int{}}
			n := 200
			tr.send(t, n, rows, instances)
			tr.check(t, seed, n, instances, rows)
			closeAtRest(t, s, f)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (tr *traffic) send(t *testing.T, n, rows, instances int) {
	var wg sync.WaitGroup
	mean := float64(tr.f.takes) / float64(rows*instances) // about what the instances can do
	for i := range n {
		ctx, cancel := context.WithCancel(t.Context())
		if tr.rng.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(tr.rng.IntN(40))*time.Millisecond)
		}
		pack := time.Duration(tr.rng.IntN(300)) * time.Microsecond
		abandon := tr.rng.IntN(10) == 0
		read := time.Duration(tr.rng.IntN(2)*tr.rng.IntN(3*int(tr.f.takes/time.Microsecond))) * time.Microsecond
		wg.Go(func() {
			defer cancel()
			tr.one(ctx, uint64(i+1), pack, read, abandon)
		})
		time.Sleep(time.Duration(tr.rng.ExpFloat64() * mean))
		tr.conserved(t)
	}
	wg.Wait()
	time.Sleep(time.Minute) // runs without requests end
	synctest.Wait()
}

// one sends one request; it notes exactly one outcome.
func (tr *traffic) one(ctx context.Context, value uint64, pack, read time.Duration, abandon bool) {
	var got uint64
	var err error
	if abandon {
		var h *Handle
		if h, err = tr.s.Enter(ctx); err == nil {
			input := h.Input(0)
			time.Sleep(pack)
			input[0] = poison
			h.Release()
			err = errors.ErrUnsupported
		}
	} else {
		got, err = askSlowly(ctx, tr.s, value, pack, read)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err != nil {
		tr.errs[err]++
		return
	}
	tr.answers[got]++
	if got != value {
		tr.errs[errors.New("output of another request")]++
	}
}

// conserved checks the invariants between two arrivals.
func (tr *traffic) conserved(t *testing.T) {
	synctest.Wait()
	checkInvariants(t, tr.s)
}

func (tr *traffic) check(t *testing.T, seed uint64, n, instances, rows int) {
	outcomes := 0
	for value, times := range tr.answers {
		if times != 1 {
			t.Errorf("%d was answered %d times", value, times)
		}
		outcomes += times
	}
	for err, times := range tr.errs {
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, errRun) {
			t.Errorf("seed %d: %d times %v", seed, times, err)
		}
		outcomes += times
	}
	if outcomes != n {
		t.Errorf("%d outcomes of %d requests", outcomes, n)
	}
	seen := map[uint64]bool{}
	for _, run := range tr.f.runs {
		if len(run) > rows {
			t.Errorf("a run of %d rows, the batch has %d", len(run), rows)
		}
		for _, value := range run {
			if value != 0 && seen[value] {
				t.Errorf("row %d ran twice", value)
			}
			if value > uint64(n) {
				t.Errorf("bytes of an abandoned row ran: %x", value)
			}
			seen[value] = true
		}
	}
	if tr.f.most > instances {
		t.Errorf("%d runs at once on %d instances", tr.f.most, instances)
	}
}
