package inference

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"fovea/postprocess"
)

// runner is the memory of one batch and the session that runs it. A runner is run by one goroutine at a time;
// different runners may run at the same time.
type runner interface {
	// Input is the memory of one row of an input.
	Input(input, row int) []byte
	// Run computes the first rows rows; rows is one of the lane's buckets. The end of ctx ends it as soon as the model
	// allows, with an error that wraps ctx's cause.
	Run(ctx context.Context, rows int) error
	// HasParallel says whether RunParallel takes more cores than Run.
	HasParallel() bool
	// RunParallel is Run on all cores.
	RunParallel(ctx context.Context, rows int) error
	// Outputs are the outputs of one row of the last run, valid until the next.
	Outputs(row int) []postprocess.Tensor
	// Close frees the memory.
	Close() error
}

// rowState is where a row of a batch stands.
type rowState uint8

const (
	rowFree      rowState = iota // nobody's
	rowLeased                    // a ticket packs into it
	rowCommitted                 // packed, to be run
	rowAnswered                  // run, the ticket reads its outputs
	rowDead                      // given up after the batch was claimed: runs as padding
)

// row is one row of a batch.
type row struct {
	state rowState
	dirty bool          // holds bytes of some request, so it is cleared before it pads another's batch
	ready chan struct{} // receives once when the row is answered; buffered, so that nobody waits for a reader
}

// batch is one runner and the state of its rows. The scheduler's mutex guards all but the runner's memory: a
// row's memory belongs to its ticket while leased or answered, and to the instance while the batch runs.
type batch struct {
	lane    *lane
	runner  runner
	inputs  int
	rows    []row
	pending int         // rows leased and not yet committed
	live    int         // rows committed or answered, and still wanted
	claimed bool        // an instance has taken it: no more leases
	due     bool        // its delay is over
	timer   *time.Timer // runs while max_delay holds the batch open; nil without

	ctx       context.Context         // of the run: its end ends the run
	end       context.CancelCauseFunc // of ctx; nil unless the batch is launched and not finished
	abandoned *time.Timer             // ends the run that nobody waits for any more; nil while somebody does
	started   time.Time               // of the run
	took      time.Duration
	used      int   // rows that were committed when the run was launched
	bucket    int   // rows that run, padding included
	clear     []int // rows below bucket to be cleared before the run
	err       error // of the run
}

func newBatch(l *lane, r runner, inputs, rows int) *batch {
	b := &batch{lane: l, runner: r, inputs: inputs, rows: make([]row, rows), clear: make([]int, 0, rows)}
	for i := range b.rows {
		b.rows[i] = row{dirty: true, ready: make(chan struct{}, 1)}
	}
	return b
}

// freeRow is the first row that can be leased, or -1.
func (b *batch) freeRow() int {
	if b.claimed || b.pending+b.live == len(b.rows) {
		return -1
	}
	return slices.IndexFunc(b.rows, func(r row) bool { return r.state == rowFree })
}

// runnable says whether an idle instance may take the batch now.
func (b *batch) runnable() bool {
	if b.live == 0 {
		return false
	}
	return b.lane.delay == 0 || b.due || b.live == len(b.rows)
}

// seal decides what runs: the smallest bucket that holds the last committed row. Rows below it that are not
// committed are padding, and cleared where they hold bytes of another request.
func (b *batch) seal() {
	last := 0
	b.used = b.live
	for i := range b.rows {
		if b.rows[i].state == rowCommitted {
			last = i
		}
	}
	b.bucket = b.lane.bucket(last + 1)
	b.clear = b.clear[:0]
	for i := range b.bucket {
		if r := &b.rows[i]; r.state != rowCommitted && r.dirty {
			b.clear = append(b.clear, i)
			r.dirty = false
		}
	}
}

// errAbandoned is why a run was ended: every request in it has been past its deadline, or cancelled, for runMargin.
var errAbandoned = errors.New("nobody waits for the run any more")

// runMargin is how long a run goes on that nobody waits for. Most end by themselves in that time.
const runMargin = time.Second

// abandon has the run end in a while, since no row of it is wanted any more. The mutex is held.
func (b *batch) abandon() {
	end := b.end // of this run: it does nothing once the run is over
	b.abandoned = time.AfterFunc(runMargin, func() { end(errAbandoned) })
}

// finished lets go of what ends the run. The mutex is held.
func (b *batch) finished() {
	if b.abandoned != nil {
		b.abandoned.Stop()
	}
	b.end(nil)
	b.ctx, b.end, b.abandoned = nil, nil, nil
}

// run clears the padding and runs the batch, by one of the runner's ways. It is called by an instance, without the
// scheduler's mutex.
func (b *batch) run(ctx context.Context, way func(ctx context.Context, rows int) error) {
	b.started = time.Now()
	for _, i := range b.clear {
		for input := range b.inputs {
			clear(b.runner.Input(input, i))
		}
	}
	b.err = protect(func() error { return way(ctx, b.bucket) })
	b.took = time.Since(b.started)
}

// stopTimer ends the delay, if one runs.
func (b *batch) stopTimer() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// reset makes the batch empty again.
func (b *batch) reset() {
	for i := range b.rows {
		b.rows[i].state = rowFree
	}
	b.pending, b.live, b.claimed, b.due, b.err = 0, 0, false, false, nil
}

// panicError is a panic turned into an error, with the stack for the log.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// protect calls f and returns a panic in it as an error.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v, debug.Stack()}
		}
	}()
	return f()
}
