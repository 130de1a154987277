package inference

import (
	"context"
	"encoding/binary"
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

// fakeDevice makes runners and records what they ran.
type fakeDevice struct {
	takes  time.Duration
	narrow bool // it has no more cores to run on
	fail   func(run int) error
	ends   bool // runs last until they are ended

	mu     sync.Mutex
	runs   [][]uint64 // the rows of each run, padding included
	at     []time.Time
	open   int // runners not closed
	atOnce int // runs at this moment
	most   int // most runs at once
	wide   int // runs on all cores
}

func (f *fakeDevice) runner(rows int) func() (runner, error) {
	return func() (runner, error) {
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

func (r *fakeRunner) Run(ctx context.Context, rows int) error {
	f := r.f
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

func (r *fakeRunner) HasParallel() bool { return !r.f.narrow }

func (r *fakeRunner) RunParallel(ctx context.Context, rows int) error {
	r.f.mu.Lock()
	r.f.wide++
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

// fakeScheduler is a scheduler of one lane over fake runners.
func fakeScheduler(t testing.TB, f *fakeDevice, instances, rows int, delay time.Duration, buckets ...int) *scheduler {
	t.Helper()
	if buckets == nil {
		for i := range rows {
			buckets = append(buckets, i+1)
		}
	}
	l, err := newLane(laneSpec{device: "cpu", instances: instances, rows: rows, buckets: buckets, inputs: 1,
		delay: delay, newRunner: f.runner(rows)})
	if err != nil {
		t.Fatal(err)
	}
	return newScheduler(context.Background(), func(ran) {}, l)
}

// ask sends one value through the scheduler; packing takes pack.
func ask(ctx context.Context, s *scheduler, value uint64, pack time.Duration) (uint64, error) {
	return askSlowly(ctx, s, value, pack, 0)
}

// askSlowly takes read to read the answer, at the end.
func askSlowly(ctx context.Context, s *scheduler, value uint64, pack, read time.Duration) (uint64, error) {
	t, err := s.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer t.leave()
	t.lease()
	time.Sleep(pack)
	binary.LittleEndian.PutUint64(t.Input(0), value)
	t.commit()
	if err := t.wait(ctx); err != nil {
		return 0, err
	}
	time.Sleep(read)
	return binary.LittleEndian.Uint64(t.Outputs()[0].Data), nil
}

// rested checks that every row, batch and place is back, and closes the scheduler.
func rested(t testing.TB, s *scheduler, f *fakeDevice) {
	t.Helper()
	s.mu.Lock()
	for _, l := range s.lanes {
		if l.places != l.instances*l.rows || l.idle != l.instances || len(l.free) != len(l.all) ||
			len(l.filling) != 0 || l.occupied != 0 || len(s.waiting) != 0 {
			t.Errorf("not at rest: %d places of %d, %d idle of %d, %d free of %d, %d filling, %d occupied, %d waiting",
				l.places, l.instances*l.rows, l.idle, l.instances, len(l.free), len(l.all), len(l.filling),
				l.occupied, len(s.waiting))
		}
	}
	s.mu.Unlock()
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if f.open != 0 {
		t.Errorf("%d runners left open", f.open)
	}
}
