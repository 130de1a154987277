package batcher

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Batcher assigns requests to rows of batches in the order they arrive, and batches to instances.
type Batcher struct {
	ctx   context.Context // of all runs: its end terminates them
	onRun func(Run)

	mu      sync.Mutex
	groups  []*Group
	open    []*Group  // those that requests may enter
	waiting []*Handle // without a slot, oldest first
}

// Run describes one run.
type Run struct {
	Rows, Padding int // rows with an image, and rows without
	Duration      time.Duration
	Err           error
	Alone         bool // the run failed, and its rows ran alone, each with its result
}

// New makes a batcher without groups. The end of ctx terminates all runs. onRun is called after each run, by its
// instance, before the requests get their outputs.
func New(ctx context.Context, onRun func(Run)) *Batcher { return &Batcher{ctx: ctx, onRun: onRun} }

// Add makes an instance group and starts its instances. Requests cannot enter it before Isolate or Open. The batcher
// closes the runners, also when making one fails.
func (b *Batcher) Add(cfg GroupConfig, newRunner func() (Runner, error)) (*Group, error) {
	g, err := newGroup(cfg, newRunner)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.groups = append(b.groups, g)
	for range g.cfg.Instances {
		g.done.Go(func() { b.serve(g) })
	}
	return g, nil
}

// Isolate directs requests to one group alone, for tests before the version is served. Until Open, runs use neither
// MaxDelay nor Acquire.
func (b *Batcher) Isolate(g *Group) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = []*Group{g}
}

// Open lets requests enter every group.
func (b *Batcher) Open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open = b.groups
	for _, g := range b.groups {
		g.maxDelay, g.acquire = g.cfg.MaxDelay, g.cfg.Acquire
	}
}

// yieldEvery is how long an instance runs without yielding to every other goroutine. A call into C keeps its processor.
// Where cores are busy, Go puts connections that have become readable into its global queue, which a processor with
// local work checks only once in 61 times (runtime.findRunnable). With a run of milliseconds each time, a request
// would stay unread for half a second. Yielding after each run makes batches wait for decoders.
const yieldEvery = 50 * time.Millisecond

// serve is an instance: it runs batches until the group is closed.
func (b *Batcher) serve(g *Group) {
	yielded := time.Now()
	for batch := range g.work {
		g.run(batch)
		b.onRun(Run{Rows: batch.used, Padding: batch.bucket - batch.used, Duration: batch.took, Err: batch.err, Alone: batch.alone})
		b.finish(batch)
		if now := time.Now(); now.Sub(yielded) > yieldEvery {
			runtime.Gosched()
			yielded = now
		}
	}
}

// Enter waits for a slot: the right to a row. The handle must be released. The error is ctx's.
func (b *Batcher) Enter(ctx context.Context) (*Handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := &Handle{b: b}
	b.mu.Lock()
	if g := b.pick(); g != nil { // then no handle waits: dispatch grants every free slot
		h.grant(g)
		b.mu.Unlock()
		return h, nil
	}
	h.granted = make(chan struct{})
	b.waiting = append(b.waiting, h)
	b.mu.Unlock()
	select {
	case <-h.granted:
		return h, nil
	case <-ctx.Done():
		h.Release()
		return nil, ctx.Err()
	}
}

// pick is the group with a free slot whose instances have the least to do, or nil.
func (b *Batcher) pick() *Group {
	var best *Group
	var most float64
	for _, g := range b.open {
		if free := g.capacity(); g.slots > 0 && (best == nil || free > most) {
			best, most = g, free
		}
	}
	return best
}

// dispatch gives batches to idle instances and slots to waiting handles. The caller holds mu.
func (b *Batcher) dispatch() {
	for _, g := range b.groups {
		for batch := g.next(); batch != nil; batch = g.next() {
			g.claim(batch)
			if batch.packing == 0 {
				b.launch(batch)
			}
		}
	}
	for len(b.waiting) > 0 {
		g := b.pick()
		if g == nil {
			return
		}
		h := b.waiting[0]
		b.waiting = slices.Delete(b.waiting, 0, 1)
		h.grant(g)
		close(h.granted)
	}
}

// launch hands a claimed batch without packing rows to its instance. When every row was released the instance is idle
// again. The caller holds mu.
func (b *Batcher) launch(batch *batch) {
	g := batch.group
	if batch.wanted == 0 {
		g.idle++
		g.recycle(batch)
		return
	}
	batch.start(b.ctx)
	g.work <- batch // never blocks: the buffer has room for one batch of each instance
}

// finish wakes the requests of a batch that has run.
func (b *Batcher) finish(batch *batch) {
	b.mu.Lock()
	defer b.mu.Unlock()
	batch.finish()
	batch.group.idle++
	if batch.wanted == 0 {
		batch.group.recycle(batch)
	}
	b.dispatch()
}

// delay starts MaxDelay when the first row of a batch is taken. The caller holds mu.
func (b *Batcher) delay(batch *batch) {
	if batch.group.maxDelay == 0 || batch.packing+batch.wanted > 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(batch.group.maxDelay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if batch.timer == timer && batch.state == batchFilling { // else the batch has been reused since
			batch.due = true
			b.dispatch()
		}
	})
	batch.timer = timer
}

// InUse says what is in use; nil when every slot and every batch is free, and every instance idle.
func (b *Batcher) InUse() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range b.groups {
		if slots := g.cfg.Instances * g.rows(); g.slots != slots || g.idle != g.cfg.Instances || len(g.free) != len(g.batches) ||
			len(b.waiting) > 0 {
			return fmt.Errorf("in use on %s: free slots %d of %d, idle instances %d of %d, free batches %d of %d, requests waiting %d",
				g.cfg.Device, g.slots, slots, g.idle, g.cfg.Instances, len(g.free), len(g.batches), len(b.waiting))
		}
	}
	return nil
}

// Close ends the instances and frees the batches. Every handle must have been released: the error says what was not.
func (b *Batcher) Close() error {
	for _, g := range b.groups {
		close(g.work)
		g.done.Wait()
	}
	errs := []error{b.InUse()}
	for _, g := range b.groups {
		errs = append(errs, g.close())
	}
	b.groups, b.open = nil, nil
	return errors.Join(errs...)
}
