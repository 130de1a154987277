package admission

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Grace is how far a body may fall behind the minimum rate, beyond its initial lag. Kestrel allows the same.
const Grace = 5 * time.Second

// SlowError is the error of a body that arrived too slowly.
type SlowError struct {
	Rate int64 // the minimum, in bytes a second
}

// Error implements error.
func (e *SlowError) Error() string {
	return fmt.Sprintf("the body arrived at less than %d bytes a second", e.Rate)
}

// Connection is the connection that a body arrives on; *http.ResponseController is one.
type Connection interface {
	SetReadDeadline(time.Time) error
}

// Body is the body of an admitted request. Its bytes are counted, and each read ends in time. It is read by one goroutine
// at a time.
type Body struct {
	request  *request
	src      io.Reader
	conn     Connection
	length   int64 // as announced; -1: unknown
	read     int64
	end      time.Time   // when all of it must have arrived
	deadline time.Time   // the connection's
	arrived  atomic.Bool // no more bytes follow, and the connection has no deadline
}

// Admit admits a request of a client and returns its body, of a length in bytes (-1: unknown), all
// of which must arrive within a time. At the limit of requests it displaces the most lagging body, after a wait of up to a
// second until one lags enough. Unread (nil: unknown) reports whether bytes of the body have arrived that nothing has read
// yet. The error is ErrClosed, a *FullError or the connection's.
//
// Reads return the errors of src, and os.ErrDeadlineExceeded at the end of the time, *SlowError, ErrDisplaced and
// *FullError. The body must be released.
func (c *Controller) Admit(client string, src io.Reader, length int64, within time.Duration, conn Connection, unread func() bool) (*Body, error) {
	b := &Body{src: src, conn: conn, length: length}
	q, err := c.admit(client, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) }, unread) // without a connection there is no read to end
	if err != nil {
		return nil, err
	}
	b.request = q
	c.mu.Lock()
	defer c.mu.Unlock()
	b.end = c.now().Add(within)
	if length == 0 {
		return b, b.finish()
	}
	if err := b.extend(c.now()); err != nil {
		q.releaseLocked()
		return nil, err
	}
	return b, nil
}

// Read implements io.Reader. The last bytes of a body of known length clear its deadline, so that a deadline is never
// mistaken for a client that disconnected.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.read += int64(n)
	c := b.request.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.arrived.Load() {
		return n, err
	}
	now := c.now()
	if refused := b.request.received(int64(n), now); refused != nil {
		return n, refused
	}
	switch {
	case errors.Is(err, io.EOF), err == nil && b.read == b.length:
		if failed := b.finish(); failed != nil {
			return n, failed
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		if now.Before(b.end) {
			err = errors.Join(&SlowError{c.limits.MinRate}, err)
		}
	case err == nil:
		err = b.extend(now)
	}
	return n, err
}

// extend moves the connection's deadline, but not at every read: on HTTP/2 that is a message to another goroutine. The
// caller holds mu.
func (b *Body) extend(now time.Time) error {
	deadline := b.end
	if c := b.request.controller; c.limits.MinRate > 0 {
		if slow := b.request.onTimeUntil.Add(initialLag + Grace); slow.Before(deadline) {
			deadline = slow
		}
	}
	if !b.deadline.IsZero() && (deadline.Equal(b.deadline) || b.deadline.Before(b.end) && b.deadline.Sub(now) > Grace/2 && deadline.Sub(b.deadline) < Grace/2) {
		return nil
	}
	b.deadline = deadline
	if err := b.conn.SetReadDeadline(deadline); err != nil {
		return fmt.Errorf("set the body's deadline: %w", err)
	}
	return nil
}

// finish notes that the body has arrived. From now on it cannot be displaced. The caller holds mu.
func (b *Body) finish() error {
	b.arrived.Store(true)
	b.request.pause()
	if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear the body's deadline: %w", err)
	}
	return nil
}

// Wait calls wait while the body's clock is stopped: the client is not asked for more, and the request is not displaced.
// It returns how long that took.
func (b *Body) Wait(wait func() error) (time.Duration, error) {
	c := b.request.controller
	c.mu.Lock()
	if b.request.displaced {
		c.mu.Unlock()
		return 0, ErrDisplaced
	}
	b.request.pause()
	c.waiting++
	start := c.now()
	err := b.conn.SetReadDeadline(time.Time{})
	c.mu.Unlock()
	if err == nil {
		err = wait()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
	now := c.now()
	waited := now.Sub(start)
	b.end = b.end.Add(waited)
	b.deadline = time.Time{}
	b.request.resume(now)
	if err == nil {
		err = b.extend(now)
	}
	return waited, err
}

// Grow counts n bytes that the request takes in memory besides those of the body, such as decompressed ones, until Release. The error
// is a *FullError.
func (b *Body) Grow(n int64) error {
	c := b.request.controller
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.request.released {
		return nil
	}
	return b.request.grow(n, c.now())
}

// Arrived reports whether the whole body has been read.
func (b *Body) Arrived() bool { return b.arrived.Load() }

// Release ends the request. Further calls do nothing; the body can still be read, at the minimum rate.
func (b *Body) Release() { b.request.release() }
