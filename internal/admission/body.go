package admission

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Grace is how far behind the least rate a body may fall. Kestrel allows as much before it looks at the rate.
const Grace = 5 * time.Second

// SlowError is a body that did not keep up the least rate.
type SlowError struct {
	Rate int64 // bytes a second
}

// Error implements error.
func (e *SlowError) Error() string {
	return fmt.Sprintf("the body arrived at less than %d bytes a second", e.Rate)
}

// Connection is what a body arrives by; *http.ResponseController is one.
type Connection interface {
	SetReadDeadline(time.Time) error
}

// Body is a request's body, whose bytes are counted and whose reads end in time. It is read by one goroutine at a time.
type Body struct {
	ticket *Ticket
	src    io.Reader
	conn   Connection
	length int64 // as announced; -1: unknown
	read   int64
	end    time.Time   // when all of it must have arrived
	due    time.Time   // the connection's deadline
	done   atomic.Bool // nothing more is to come: the deadline is gone
}

// Open lets a request in and returns its body, of a length (-1: unknown) that must arrive within a time. Unread is as in
// Enter. The errors of
// its reads are those of src, os.ErrDeadlineExceeded when the time is over, *SlowError, ErrDisplaced and *FullError. The
// body must be left.
func (r *Room) Open(remote string, src io.Reader, length int64, within time.Duration, conn Connection, unread func() bool) (*Body, error) {
	b := &Body{src: src, conn: conn, length: length}
	t, err := r.Enter(Address(remote), func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }, unread) // no connection: no read to end
	if err != nil {
		return nil, err
	}
	b.ticket = t
	r.mu.Lock()
	defer r.mu.Unlock()
	b.end = r.now().Add(within)
	if length == 0 {
		return b, b.finish()
	}
	if err := b.extend(r.now()); err != nil {
		t.leave()
		return nil, err
	}
	return b, nil
}

// Read implements io.Reader. The last bytes of a body of known length end its clock, so that a deadline is never taken
// for a client that went away.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.read += int64(n)
	r := b.ticket.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.done.Load() {
		return n, err
	}
	now := r.now()
	if full := b.ticket.arrive(int64(n), now); full != nil {
		return n, full
	}
	switch {
	case errors.Is(err, io.EOF), err == nil && b.read == b.length:
		if cannot := b.finish(); cannot != nil {
			return n, cannot
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		if now.Before(b.end) {
			err = errors.Join(&SlowError{r.limits.Rate}, err)
		}
	case err == nil:
		err = b.extend(now)
	}
	return n, err
}

// extend moves the connection's deadline on. It is set seldom: on HTTP/2 that is a message to another goroutine.
func (b *Body) extend(now time.Time) error {
	due := b.end
	if r := b.ticket.room; r.limits.Rate > 0 {
		if slow := b.ticket.paid.Add(headStart + Grace); slow.Before(due) {
			due = slow
		}
	}
	if !b.due.IsZero() && (due.Equal(b.due) || b.due.Before(b.end) && b.due.Sub(now) > Grace/2 && due.Sub(b.due) < Grace/2) {
		return nil
	}
	b.due = due
	if err := b.conn.SetReadDeadline(due); err != nil {
		return fmt.Errorf("set the body's deadline: %w", err)
	}
	return nil
}

// finish notes that the body has arrived. From now on the request keeps its slot. The lock is held.
func (b *Body) finish() error {
	if b.done.Load() {
		return nil
	}
	b.done.Store(true)
	b.ticket.pause()
	if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear the body's deadline: %w", err)
	}
	return nil
}

// Wait calls wait, and its time is not the body's: the client is not asked for more meanwhile, and the slot is kept.
func (b *Body) Wait(wait func() error) (time.Duration, error) {
	r := b.ticket.room
	r.mu.Lock()
	if b.ticket.displaced {
		r.mu.Unlock()
		return 0, ErrDisplaced
	}
	b.ticket.pause()
	r.unread++
	start := r.now()
	err := b.conn.SetReadDeadline(time.Time{})
	r.mu.Unlock()
	if err == nil {
		err = wait()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unread--
	now := r.now()
	waited := now.Sub(start)
	b.end = b.end.Add(waited)
	b.due = time.Time{}
	b.ticket.resume(now)
	if err == nil {
		err = b.extend(now)
	}
	return waited, err
}

// Arrived says whether all of the body has.
func (b *Body) Arrived() bool { return b.done.Load() }

// Bytes returns how many have been read.
func (b *Body) Bytes() int64 { return b.read }

// Leave gives the slot back. Further calls do nothing.
func (b *Body) Leave() { b.ticket.Leave() }
