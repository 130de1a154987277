package batcher

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// GroupConfig is what an instance group is made of.
type GroupConfig struct {
	Device    string // as Handle.Device returns it
	Instances int
	Buckets   []int // the batch sizes that run, ascending; the last is the number of rows of a batch
	Inputs    int   // inputs of the model
	OwnOnly   bool  // there are no batches: each request brings its own run (Handle.Submit)
	MaxDelay  time.Duration

	// Separable reports whether the error of a run of several rows may be due to one of them. Its rows then run alone, and each
	// has its own result. Nil: never. It is only used with batches of one row among Buckets.
	Separable func(error) bool
	// Acquire waits for the workers that a run of some images takes: all of them for a parallel session if possible, else
	// one. The error is ctx's cause. Nil for runs that need no worker.
	Acquire func(ctx context.Context, images int, parallel bool) (all bool, release func(), err error)
}

// batches is how many batches the group needs. Handles hold at most instances × rows rows that do not run yet, and a
// batch is opened only when every open one is full, so at most as many batches as instances are filling; as many run.
// The rest are batches whose outputs are still read while the next already run.
func (c GroupConfig) batches() int { return 2*c.Instances + min(c.Instances, 4) }

// Group is the instances of a version on one device and the batches they share.
type Group struct {
	cfg      GroupConfig
	maxDelay time.Duration // zero until the batcher is opened
	acquire  func(ctx context.Context, images int, parallel bool) (all bool, release func(), err error)
	batches  []*batch
	work     chan *batch
	done     sync.WaitGroup // the instances

	slots    int      // that may still be granted
	idle     int      // instances without work
	free     []*batch // empty
	filling  []*batch // with rows taken, not claimed, oldest first
	occupied int      // batches that are claimed, running or done, but for requests' own
}

// newGroup makes the batches of a group.
func newGroup(cfg GroupConfig, newRunner func() (Runner, error)) (*Group, error) {
	g := &Group{cfg: cfg, idle: cfg.Instances, work: make(chan *batch, cfg.Instances)}
	g.slots = cfg.Instances * g.rows()
	if cfg.OwnOnly {
		return g, nil
	}
	for range cfg.batches() {
		r, err := newRunner()
		if err != nil {
			return nil, errors.Join(err, g.close())
		}
		g.batches = append(g.batches, newBatch(g, r))
	}
	g.free = slices.Clone(g.batches)
	return g, nil
}

// Device is the device in the group's configuration.
func (g *Group) Device() string { return g.cfg.Device }

// Buckets are the batch sizes that run, ascending.
func (g *Group) Buckets() []int { return g.cfg.Buckets }

// Runner is the memory of one batch, for runs of the caller's own. No request may have entered yet.
func (g *Group) Runner() Runner { return g.batches[0].runner }

// rows of a batch.
func (g *Group) rows() int { return g.cfg.Buckets[len(g.cfg.Buckets)-1] }

// capacity is the share of instances that are idle plus the share of slots that are free.
func (g *Group) capacity() float64 {
	return float64(g.idle)/float64(g.cfg.Instances) + float64(g.slots)/float64(g.cfg.Instances*g.rows())
}

// bucket is the smallest bucket that holds rows.
func (g *Group) bucket(rows int) int {
	i, _ := slices.BinarySearch(g.cfg.Buckets, rows)
	return g.cfg.Buckets[i]
}

// row finds a free row in the oldest batch that has one, or opens a batch. A slot guarantees that there is one (see
// batches).
func (g *Group) row() (*batch, int) {
	for _, b := range g.filling {
		if i := b.freeRow(); i >= 0 {
			return b, i
		}
	}
	b := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	g.filling = append(g.filling, b)
	b.state = batchFilling
	return b, 0
}

// next is the oldest batch that an idle instance may take, or nil. One batch per instance is always left to be filled.
func (g *Group) next() *batch {
	if g.idle == 0 {
		return nil
	}
	full := g.occupied >= len(g.batches)-g.cfg.Instances
	for _, b := range g.filling {
		if b.runnable() && (b.own || !full) {
			return b
		}
	}
	return nil
}

// claim closes a batch for an idle instance and frees the slots of its rows.
func (g *Group) claim(b *batch) {
	g.idle--
	if !b.own {
		g.occupied++
	}
	g.unfill(b)
	g.slots += b.packing + b.wanted
	b.state = batchClaimed
	b.stopTimer()
}

// unfill removes a batch from those that are filling.
func (g *Group) unfill(b *batch) {
	g.filling = slices.DeleteFunc(g.filling, func(f *batch) bool { return f == b })
}

// recycle empties a batch without handles. One of a request's own is closed.
func (g *Group) recycle(b *batch) {
	switch {
	case b.state == batchFilling:
		g.unfill(b)
	case !b.own:
		g.occupied--
	}
	b.reset()
	if b.own {
		_ = b.runner.Close() // what it frees is memory
		return
	}
	g.free = append(g.free, b)
}

// run runs a batch, with the workers it needs.
func (g *Group) run(b *batch) {
	run := b.runner.Run
	if g.acquire != nil {
		all, release, err := g.acquire(b.ctx, b.used, b.runner.HasParallel())
		if err != nil {
			b.started, b.took, b.err = time.Now(), 0, err
			return
		}
		defer release()
		if all {
			run = b.runner.RunParallel
		}
	}
	b.run(run)
}

// separable reports whether the rows of a run with this error are to run alone.
func (g *Group) separable(err error) bool {
	return g.cfg.Separable != nil && g.cfg.Buckets[0] == 1 && g.cfg.Separable(err)
}

// close frees the memory of the batches.
func (g *Group) close() error {
	var errs []error
	for _, b := range g.batches {
		errs = append(errs, b.runner.Close())
	}
	g.batches = nil
	return errors.Join(errs...)
}
