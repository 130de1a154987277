package inference

import (
	"context"
	"time"

	"fovea/postprocess"
)

// ticketState is how far a ticket has come.
type ticketState uint8

const (
	ticketWaiting   ticketState = iota // for a place
	ticketPlaced                       // may lease a row
	ticketLeased                       // packs into its row
	ticketCommitted                    // its row waits or runs
	ticketLeft                         // over
)

// ticket is one image's way through the scheduler: enter, lease, Input, commit, wait, Outputs, leave. It is
// used by one goroutine. leave is safe in every state and gives back whatever is held, so it is deferred as
// soon as enter has returned.
type ticket struct {
	s       *scheduler
	lane    *lane
	state   ticketState
	granted chan struct{} // closed when a place is given
	batch   *batch
	row     int
	at      time.Time // of the commit
}

// lease takes a row. It never waits: a place is the right to a row.
func (t *ticket) lease() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	b, i := t.lane.lease()
	s.hold(b)
	b.rows[i].state, b.rows[i].dirty = rowLeased, true
	b.pending++
	t.batch, t.row, t.state = b, i, ticketLeased
}

// Input is the memory of the ticket's row in an input, to be written between lease and commit.
func (t *ticket) Input(input int) []byte { return t.batch.runner.Input(input, t.row) }

// commit hands the packed row over to be run.
func (t *ticket) commit() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	b := t.batch
	b.rows[t.row].state = rowCommitted
	b.pending--
	b.live++
	t.state, t.at = ticketCommitted, time.Now()
	if b.claimed && b.pending == 0 {
		s.launch(b)
	}
	s.dispatch()
}

// wait returns when the row is answered, with the error of its run, or with ctx's error when ctx ends first.
func (t *ticket) wait(ctx context.Context) error {
	select {
	case <-t.batch.rows[t.row].ready:
		return t.batch.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Outputs are the outputs of the ticket's row after wait has returned nil, valid until leave.
func (t *ticket) Outputs() []postprocess.Tensor { return t.batch.runner.Outputs(t.row) }

// waited and ran are how long the committed row waited for its run, and how long the run took.
func (t *ticket) waited() time.Duration { return max(0, t.batch.started.Sub(t.at)) }
func (t *ticket) ran() time.Duration    { return t.batch.took }

// leave gives back the place or the row. A second call does nothing.
func (t *ticket) leave() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	switch t.state {
	case ticketPlaced:
		t.lane.places++
	case ticketLeased:
		t.batch.pending--
		t.giveUp()
	case ticketCommitted:
		t.batch.live--
		t.giveUp()
	case ticketWaiting, ticketLeft:
		return
	}
	t.state = ticketLeft
	s.dispatch()
}

// giveUp makes the ticket's row free again, or padding when its batch is claimed. The mutex is held.
func (t *ticket) giveUp() {
	b, r := t.batch, &t.batch.rows[t.row]
	switch {
	case r.state == rowAnswered:
		r.state = rowFree
		select {
		case <-r.ready: // the ticket left without having looked
		default:
		}
		if b.live == 0 {
			b.lane.recycle(b)
		}
	case b.claimed:
		waited := r.state == rowLeased
		r.state = rowDead
		switch {
		case waited && b.pending == 0:
			t.s.launch(b)
		case b.live == 0 && b.end != nil:
			b.abandon()
		}
	default:
		r.state = rowFree
		b.lane.places++
		if b.pending+b.live == 0 {
			b.lane.unfill(b)
		}
	}
}
