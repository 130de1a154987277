package inference

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// scheduler gives rows of batches to requests in the order they come, and batches to instances. It is
// work-conserving: while an instance is idle no committed row waits, unless max_delay says so.
//
// It is a state machine under one mutex: every event (lease, commit, give up, end of a run, end of a delay,
// end of reading) changes the state and calls dispatch, and nothing waits with the mutex held.
type scheduler struct {
	ctx     context.Context // of all runs: its end ends them
	mu      sync.Mutex
	lanes   []*lane
	waiting []*ticket // without a place, first come first served
	onRun   func(b ran)
}

// ran says what one run was.
type ran struct {
	rows, padded int // rows with an image, and rows beside them
	took         time.Duration
	err          error
}

// newScheduler makes a scheduler of the lanes. The end of ctx ends all runs. onRun is called after each run, by the
// instance, before anybody has the answer.
func newScheduler(ctx context.Context, onRun func(ran), lanes ...*lane) *scheduler {
	s := &scheduler{ctx: ctx, onRun: onRun}
	for _, l := range lanes {
		s.add(l)
	}
	return s
}

// add takes over a lane and starts its instances. Nothing may have entered yet.
func (s *scheduler) add(l *lane) {
	s.lanes = append(s.lanes, l)
	for range l.instances {
		l.done.Go(func() { s.instance(l) })
	}
}

// yieldEvery is how long an instance goes without letting every other goroutine go first. A call into C keeps its
// processor, and where cores are busy Go hands connections that have become readable to its global queue, which a
// processor with a queue of its own looks at once in 61 times (runtime.findRunnable). With a run of milliseconds each time,
// a request would wait unread for half a second, while others are answered again and again. To yield after each run makes
// batches wait for decoders.
const yieldEvery = 50 * time.Millisecond

// instance runs batches until the lane is closed.
func (s *scheduler) instance(l *lane) {
	yielded := time.Now()
	for b := range l.work {
		l.run(b)
		s.onRun(ran{rows: b.used, padded: b.bucket - b.used, took: b.took, err: b.err})
		s.finish(b)
		if now := time.Now(); now.Sub(yielded) > yieldEvery {
			runtime.Gosched()
			yielded = now
		}
	}
}

// enter waits for a place: the right to lease a row. It returns ctx's error when ctx ends first. The ticket
// must be left, in whatever state it is.
func (s *scheduler) enter(ctx context.Context) (*ticket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &ticket{s: s}
	s.mu.Lock()
	if l := s.pick(); l != nil { // then nobody waits: dispatch gives every place away
		l.places--
		t.lane, t.state = l, ticketPlaced
		s.mu.Unlock()
		return t, nil
	}
	t.granted = make(chan struct{})
	s.waiting = append(s.waiting, t)
	s.mu.Unlock()
	select {
	case <-t.granted:
		return t, nil
	case <-ctx.Done():
		s.mu.Lock()
		placed := t.state == ticketPlaced
		if !placed {
			s.waiting = slices.DeleteFunc(s.waiting, func(o *ticket) bool { return o == t })
		}
		s.mu.Unlock()
		if placed {
			t.leave()
		}
		return nil, ctx.Err()
	}
}

// pick is the lane with a place whose instances have the least to do, or nil.
func (s *scheduler) pick() *lane {
	var best *lane
	var most float64
	for _, l := range s.lanes {
		load := float64(l.idle)/float64(l.instances) + float64(l.places)/float64(l.instances*l.rows)
		if l.places > 0 && (best == nil || load > most) {
			best, most = l, load
		}
	}
	return best
}

// dispatch gives batches to idle instances and places to waiting tickets. The mutex is held.
func (s *scheduler) dispatch() {
	for _, l := range s.lanes {
		for b := l.next(); b != nil; b = l.next() {
			l.claim(b)
			if b.pending == 0 {
				s.launch(b)
			}
		}
	}
	for len(s.waiting) > 0 {
		l := s.pick()
		if l == nil {
			return
		}
		t := s.waiting[0]
		s.waiting = slices.Delete(s.waiting, 0, 1)
		l.places--
		t.lane, t.state = l, ticketPlaced
		close(t.granted)
	}
}

// launch hands a claimed batch whose rows are all settled to its instance. When every row was given up the
// instance is idle again. The mutex is held.
func (s *scheduler) launch(b *batch) {
	l := b.lane
	if b.live == 0 {
		l.idle++
		l.recycle(b)
		return
	}
	b.seal()
	b.ctx, b.end = context.WithCancelCause(s.ctx)
	l.work <- b // never blocks: the buffer has one slot for each instance that was idle
}

// finish wakes the readers of a batch that has run.
func (s *scheduler) finish(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.rows {
		if r := &b.rows[i]; r.state == rowCommitted {
			r.state = rowAnswered
			r.ready <- struct{}{}
		}
	}
	b.finished()
	b.lane.idle++
	if b.live == 0 {
		b.lane.recycle(b)
	}
	s.dispatch()
}

// hold starts the delay of a batch when its first row is leased. The mutex is held.
func (s *scheduler) hold(b *batch) {
	if b.lane.delay == 0 || b.pending+b.live > 0 {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(b.lane.delay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b.timer == timer && !b.claimed { // else the batch has gone round since
			b.due = true
			s.dispatch()
		}
	})
	b.timer = timer
}

// close ends the instances and frees the batches. No ticket may be held or asked for any more.
func (s *scheduler) close() error {
	var errs []error
	for _, l := range s.lanes {
		close(l.work)
		l.done.Wait()
		errs = append(errs, l.closeRunners())
	}
	return errors.Join(errs...)
}
