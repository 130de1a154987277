package inference

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// laneSpec is what a lane is made of.
type laneSpec struct {
	device    string
	instances int
	rows      int   // rows of a batch
	buckets   []int // the numbers of rows that run, ascending, the last equal to rows
	inputs    int
	delay     time.Duration
	newRunner func() (runner, error)
	cores     *cores // that runs compute on; nil for runs that need none
}

// batches is how many batches a lane needs. Tickets hold at most instances×rows rows that do not run yet, and a
// batch is opened only when every open one is full, so at most `instances` batches are filling; as many run.
// The rest are batches whose answers are still being read while the next already run.
func (s laneSpec) batches() int { return 2*s.instances + min(s.instances, 4) }

// lane is the instances of one device and the batches they share.
type lane struct {
	laneSpec
	places   int      // tickets that may still be given out
	idle     int      // instances without work
	free     []*batch // empty
	filling  []*batch // unclaimed with rows in them, oldest first
	occupied int      // claimed: waiting for a packer, running, or being read
	all      []*batch
	work     chan *batch
	done     sync.WaitGroup
}

// newLane makes the batches of a lane.
func newLane(spec laneSpec) (*lane, error) {
	l := &lane{laneSpec: spec, places: spec.instances * spec.rows, idle: spec.instances,
		work: make(chan *batch, spec.instances)}
	for range spec.batches() {
		r, err := spec.newRunner()
		if err != nil {
			return nil, errors.Join(err, l.closeRunners())
		}
		l.all = append(l.all, newBatch(l, r, spec.inputs, spec.rows))
	}
	l.free = slices.Clone(l.all)
	return l, nil
}

// bucket is the smallest bucket that holds rows.
func (l *lane) bucket(rows int) int {
	i, _ := slices.BinarySearch(l.buckets, rows)
	return l.buckets[i]
}

// lease takes a row of the oldest batch that has one, or opens a batch. A ticket's place guarantees that there
// is one (see batches).
func (l *lane) lease() (*batch, int) {
	for _, b := range l.filling {
		if i := b.freeRow(); i >= 0 {
			return b, i
		}
	}
	b := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.filling = append(l.filling, b)
	return b, 0
}

// next is the oldest batch that an idle instance may take, or nil. One batch per instance is always left to
// be filled.
func (l *lane) next() *batch {
	if l.idle == 0 || l.occupied >= len(l.all)-l.instances {
		return nil
	}
	for _, b := range l.filling {
		if b.runnable() {
			return b
		}
	}
	return nil
}

// claim closes a batch for an idle instance. Its rows' places are free again.
func (l *lane) claim(b *batch) {
	l.idle--
	l.occupied++
	l.filling = slices.DeleteFunc(l.filling, func(f *batch) bool { return f == b })
	l.places += b.pending + b.live
	b.claimed = true
	b.stopTimer()
}

// unfill takes an unclaimed batch that has lost its last row off the filling ones.
func (l *lane) unfill(b *batch) {
	l.filling = slices.DeleteFunc(l.filling, func(f *batch) bool { return f == b })
	l.recycle(b)
}

// recycle returns a batch to the free ones.
func (l *lane) recycle(b *batch) {
	if b.claimed {
		l.occupied--
	}
	b.stopTimer()
	b.reset()
	l.free = append(l.free, b)
}

// run runs a claimed batch, on cores that no other work of Fovea has where the runs need any.
func (l *lane) run(b *batch) {
	ctx, way := b.ctx, b.runner.Run
	if l.cores != nil {
		all, release, err := l.cores.forRun(ctx, b.used, b.runner.HasParallel())
		if err != nil {
			b.started, b.took, b.err = time.Now(), 0, context.Cause(ctx)
			return
		}
		defer release()
		if all {
			way = b.runner.RunParallel
		}
	}
	b.run(ctx, way)
}

// closeRunners frees the memory of the batches.
func (l *lane) closeRunners() error {
	var errs []error
	for _, b := range l.all {
		errs = append(errs, b.runner.Close())
	}
	l.all = nil
	return errors.Join(errs...)
}
