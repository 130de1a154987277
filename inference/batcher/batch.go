package batcher

import (
	"context"
	"errors"
	"slices"
	"time"

	"fovea/internal/panics"
	"fovea/postprocess"
)

// Runner is the memory of one batch and the session that runs it. It runs in one goroutine at a time; different runners
// may run at the same time.
type Runner interface {
	// Input is the memory of one row of an input.
	Input(input, row int) []byte
	// Reshape sets the shape of the row of an input of open size, without the batch dimension, in a batch of one row. It may
	// move the input's memory, whose contents are undefined afterwards.
	Reshape(input int, shape []int64) error
	// Run computes the first rows rows; rows is one of the group's buckets. The end of ctx terminates it as soon as the
	// model allows, with an error that wraps ctx's cause.
	Run(ctx context.Context, rows int) error
	// RunRow computes one row alone after Run has failed, and leaves the outputs of other rows that RunRow computed.
	RunRow(ctx context.Context, row int) error
	// HasParallel reports whether RunParallel uses more cores than Run.
	HasParallel() bool
	// RunParallel is Run on all cores.
	RunParallel(ctx context.Context, rows int) error
	// Outputs are the outputs of one row of the last run, valid until the next.
	Outputs(row int) []postprocess.Tensor
	// Close frees the memory.
	Close() error
}

// rowState is the state of a row.
type rowState uint8

const (
	rowFree      rowState = iota
	rowPacking            // a handle writes it
	rowCommitted          // to run, running, or run and read
	rowAbandoned          // released after the batch was claimed: runs as padding
)

// row is one row of a batch.
type row struct {
	state rowState
	tag   any           // see Handle.Tag
	dirty bool          // holds bytes of a request, so it is cleared before it runs as padding
	runs  bool          // was committed at the start of the run
	err   error         // of the row alone
	ready chan struct{} // receives once when the row has run; buffered, so that finish never waits
}

// batchState is the state of a batch.
type batchState uint8

const (
	batchFree    batchState = iota
	batchFilling            // rows can be taken
	batchClaimed            // an instance waits for the rows that are packing
	batchRunning            // handed to the instance
	batchDone               // its outputs are read
)

// batch is one runner and the state of its rows. Batcher.mu guards all but the runner's memory, and what an
// instance sets during a run.
type batch struct {
	group   *Group
	runner  Runner
	own     bool // of one request alone; see Handle.Submit
	state   batchState
	rows    []row
	packing int         // rows in state rowPacking
	wanted  int         // rows in state rowCommitted
	due     bool        // its delay is over
	timer   *time.Timer // runs while MaxDelay holds the batch open

	ctx       context.Context         // of the run
	end       context.CancelCauseFunc // of ctx
	abandoned *time.Timer             // ends a run without requests; nil while there are some
	used      int                     // committed rows at the start of the run
	first     int                     // the first of them
	bucket    int                     // rows that run, padding included
	clear     []int                   // rows below bucket to be cleared before the run

	started time.Time // of the run
	took    time.Duration
	err     error
	alone   bool // the run failed, and its rows ran alone
}

func newBatch(g *Group, r Runner) *batch {
	b := &batch{group: g, runner: r, rows: make([]row, g.rows()), clear: make([]int, 0, g.rows())}
	for i := range b.rows {
		b.rows[i] = row{dirty: true, ready: make(chan struct{}, 1)}
	}
	return b
}

// freeRow is the first free row, or -1.
func (b *batch) freeRow() int {
	if b.packing+b.wanted == len(b.rows) {
		return -1
	}
	return slices.IndexFunc(b.rows, func(r row) bool { return r.state == rowFree })
}

func (b *batch) take(i int) {
	b.rows[i].state, b.rows[i].dirty = rowPacking, true
	b.packing++
}

func (b *batch) commit(i int) {
	b.rows[i].state = rowCommitted
	b.packing--
	b.wanted++
}

// runnable reports whether an idle instance may claim the batch now.
func (b *batch) runnable() bool {
	return b.wanted > 0 && (b.group.maxDelay == 0 || b.due || b.wanted == len(b.rows))
}

// start decides what runs: the smallest bucket that holds the last committed row. Rows below it that are not
// committed are padding, and cleared where they hold bytes of another request.
func (b *batch) start(ctx context.Context) {
	last := 0
	b.first = -1
	for i := range b.rows {
		b.rows[i].runs = b.rows[i].state == rowCommitted
		if b.rows[i].runs {
			last = i
			if b.first < 0 {
				b.first = i
			}
		}
	}
	b.used, b.bucket, b.clear = b.wanted, 1, b.clear[:0]
	if !b.own {
		b.bucket = b.group.bucket(last + 1)
	}
	for i := range b.bucket {
		if r := &b.rows[i]; r.state != rowCommitted && r.dirty {
			b.clear = append(b.clear, i)
			r.dirty = false
		}
	}
	b.state = batchRunning
	b.ctx, b.end = context.WithCancelCause(ctx)
}

// run clears the padding and runs the batch. It is called by an instance, without mu.
func (b *batch) run(run func(ctx context.Context, rows int) error) {
	b.started = time.Now()
	for _, i := range b.clear {
		for input := range b.group.cfg.Inputs {
			clear(b.runner.Input(input, i))
		}
	}
	b.err = panics.Catch(func() error { return run(b.ctx, b.bucket) })
	if b.err != nil && b.bucket > 1 && b.group.separable(b.err) {
		b.alone = true
		b.err = panics.Catch(b.runRows)
	}
	b.took = time.Since(b.started)
}

// runRows runs each row alone, so that only those fail that the model fails on.
func (b *batch) runRows() error {
	for i := range b.rows {
		if !b.rows[i].runs {
			continue
		}
		err := b.runner.RunRow(b.ctx, i)
		if err != nil && (b.ctx.Err() != nil || !b.group.separable(err)) {
			return err
		}
		b.rows[i].err = err
	}
	return nil
}

// ErrAbandoned is why a run was terminated: for abandonAfter, none of its requests had been waiting for it.
var ErrAbandoned = errors.New("every request of the run has timed out or was canceled")

// abandonAfter is how long a run without requests continues. Most end by themselves in that time.
const abandonAfter = time.Second

// abandon terminates the run after a while, since no request waits for it. The caller holds mu.
func (b *batch) abandon() {
	end := b.end // of this run: it does nothing once the run is over
	b.abandoned = time.AfterFunc(abandonAfter, func() { end(ErrAbandoned) })
}

// finish wakes the requests after the run. The caller holds mu.
func (b *batch) finish() {
	if b.abandoned != nil {
		b.abandoned.Stop()
	}
	b.end(nil)
	b.ctx, b.end, b.abandoned = nil, nil, nil
	b.state = batchDone
	for i := range b.rows {
		if r := &b.rows[i]; r.state == rowCommitted {
			r.ready <- struct{}{}
		}
	}
}

// stopTimer ends the delay, if one runs.
func (b *batch) stopTimer() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// reset makes the batch empty.
func (b *batch) reset() {
	b.stopTimer()
	for i := range b.rows {
		b.rows[i].state, b.rows[i].tag, b.rows[i].err = rowFree, nil, nil
	}
	b.state, b.due, b.err, b.alone = batchFree, false, nil, false
}
