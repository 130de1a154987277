package batcher

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"fovea/internal/repository"
	"fovea/postprocess"
)

const poison = 0xA5

// fakeRunner answers each row with the eight bytes of its input. It stands in for a session only where time,
// failures or the order of events must be chosen by the test.
type fakeRunner struct {
	f    *fakeDevice
	in   [][]byte
	out  [][]byte
	busy bool
}

// fakeDevice makes runners and records their runs.
type fakeDevice struct {
	takes  time.Duration
	single bool // it has no more cores to run on
	fail   func(run int) error
	ends   bool                     // runs last until they are terminated
	quiet  bool                     // runs take no time and are not recorded
	refuse func(value uint64) error // of rows that run alone

	mu       sync.Mutex
	runs     [][]uint64 // the rows of each run, padding included
	alone    []uint64   // the rows that ran alone
	at       []time.Time
	open     int // runners not closed
	atOnce   int // runs at this moment
	most     int // most runs at once
	parallel int // runs on all cores
}

func (f *fakeDevice) runner(rows int) func() (Runner, error) {
	return func() (Runner, error) {
		r := &fakeRunner{f: f}
		for range rows {
			in, out := make([]byte, 8), make([]byte, 8)
			for i := range in {
				in[i], out[i] = poison, poison
			}
			r.in, r.out = append(r.in, in), append(r.out, out)
		}
		f.mu.Lock()
		f.open++
		f.mu.Unlock()
		return r, nil
	}
}

func (r *fakeRunner) Input(_, row int) []byte { return r.in[row] }

// Reshape grows the row to the shape's bytes, of which the first eight are still echoed.
func (r *fakeRunner) Reshape(_ int, shape []int64) error {
	if shape[0] < 8 {
		return errShape
	}
	r.in[0] = bytes.Repeat([]byte{poison}, int(shape[0]))
	return nil
}

var errShape = errors.New("too small")

func (r *fakeRunner) Run(ctx context.Context, rows int) error {
	f := r.f
	if f.quiet {
		return nil
	}
	f.mu.Lock()
	if r.busy {
		panic("a runner ran twice at once")
	}
	r.busy = true
	f.atOnce++
	f.most = max(f.most, f.atOnce)
	run := len(f.runs)
	var got []uint64
	for _, in := range r.in[:rows] {
		got = append(got, binary.LittleEndian.Uint64(in))
	}
	f.runs = append(f.runs, got)
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	time.Sleep(f.takes)
	if f.ends {
		<-ctx.Done()
	}
	for i := range rows {
		copy(r.out[i], r.in[i])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.busy = false
	f.atOnce--
	if f.ends {
		return context.Cause(ctx)
	}
	if f.fail != nil {
		return f.fail(run)
	}
	return nil
}

// RunRow fails for the values that refuse names.
func (r *fakeRunner) RunRow(ctx context.Context, row int) error {
	f := r.f
	value := binary.LittleEndian.Uint64(r.in[row])
	f.mu.Lock()
	f.alone = append(f.alone, value)
	f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(value); err != nil {
			return err
		}
	}
	copy(r.out[row], r.in[row])
	return ctx.Err()
}

func (r *fakeRunner) HasParallel() bool { return !r.f.single }

func (r *fakeRunner) RunParallel(ctx context.Context, rows int) error {
	r.f.mu.Lock()
	r.f.parallel++
	r.f.mu.Unlock()
	return r.Run(ctx, rows)
}

func (r *fakeRunner) Outputs(row int) []postprocess.Tensor {
	return []postprocess.Tensor{{Name: "echo", DType: repository.Int64, Shape: []int64{1}, Data: r.out[row]}}
}

func (r *fakeRunner) Close() error {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	r.f.open--
	return nil
}

// add makes an instance group of fake runners, for batches of rows images in every size unless buckets are given.
func (f *fakeDevice) add(t testing.TB, b *Batcher, cfg GroupConfig, rows int) {
	t.Helper()
	cfg.Device, cfg.Inputs = "cpu", 1
	if cfg.Buckets == nil {
		for n := range rows {
			cfg.Buckets = append(cfg.Buckets, n+1)
		}
	}
	if _, err := b.Add(cfg, f.runner(rows)); err != nil {
		t.Fatal(err)
	}
}

// fakeBatcher is an open batcher of one group over fake runners.
func fakeBatcher(t testing.TB, f *fakeDevice, instances, rows int, delay time.Duration, buckets ...int) *Batcher {
	t.Helper()
	b := New(context.Background(), func(Run) {})
	f.add(t, b, GroupConfig{Instances: instances, Buckets: buckets, MaxDelay: delay}, rows)
	b.Open()
	return b
}

// ask sends one value through the batcher; packing takes pack.
func ask(ctx context.Context, b *Batcher, value uint64, pack time.Duration) (uint64, error) {
	return askSlowly(ctx, b, value, pack, 0)
}

// askSlowly takes read to read the output, at the end.
func askSlowly(ctx context.Context, b *Batcher, value uint64, pack, read time.Duration) (uint64, error) {
	h, err := b.Enter(ctx)
	if err != nil {
		return 0, err
	}
	defer h.Release()
	input := h.Input(0)
	time.Sleep(pack)
	binary.LittleEndian.PutUint64(input, value)
	h.Commit()
	if err := h.Wait(ctx); err != nil {
		return 0, err
	}
	time.Sleep(read)
	return binary.LittleEndian.Uint64(h.Outputs()[0].Data), nil
}

// closeAtRest checks that nothing is in use and closes the batcher.
func closeAtRest(t testing.TB, b *Batcher, f *fakeDevice) {
	t.Helper()
	checkInvariants(t, b)
	if err := b.InUse(); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if f.open != 0 {
		t.Errorf("%d runners left open", f.open)
	}
}

// checkInvariants checks the state against the invariants of the package comment. No goroutine may be about to change it.
func checkInvariants(t testing.TB, b *Batcher) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.groups {
		for _, batch := range g.filling {
			if g.idle > 0 && batch.runnable() && g.occupied < len(g.batches)-g.cfg.Instances {
				t.Errorf("an instance is idle while %d rows wait", batch.wanted)
			}
		}
		counts := map[batchState]int{}
		for _, batch := range g.batches {
			counts[batch.state]++
			rows := map[rowState]int{}
			for _, r := range batch.rows {
				rows[r.state]++
			}
			if rows[rowPacking] != batch.packing || rows[rowCommitted] != batch.wanted {
				t.Errorf("%d rows packing and %d committed are counted as %d and %d", rows[rowPacking], rows[rowCommitted],
					batch.packing, batch.wanted)
			}
			if (batch.state == batchFree) != (batch.packing+batch.wanted == 0) && batch.state != batchRunning {
				t.Errorf("a batch in state %d holds %d rows", batch.state, batch.packing+batch.wanted)
			}
		}
		if counts[batchFree] != len(g.free) || counts[batchFilling] != len(g.filling) ||
			counts[batchClaimed]+counts[batchRunning]+counts[batchDone] != g.occupied {
			t.Errorf("batches by state %v; %d free, %d filling, %d occupied", counts, len(g.free), len(g.filling), g.occupied)
		}
		if g.occupied > len(g.batches)-g.cfg.Instances {
			t.Errorf("%d of %d batches are occupied: an instance has none to fill", g.occupied, len(g.batches))
		}
		if g.slots > 0 && len(b.waiting) > 0 {
			t.Errorf("%d requests wait while %d slots are free", len(b.waiting), g.slots)
		}
	}
}
