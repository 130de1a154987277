package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"fovea/fault"

	"github.com/gin-gonic/gin"
)

// drainBytes and drainTime bound how much of a refused body is read and thrown away, so that a client that is
// still sending reads the refusal instead of a connection reset.
const (
	drainBytes = 32 << 20
	drainTime  = time.Second
)

// body is a request's body with its bounds: bytes, time, and the room of the whole server.
type body struct {
	raw    io.Reader // as net/http gives it
	length int64     // as announced; -1: unknown
	limit  int64
	read   int64
	seat   *seat
	share  *share
	waited time.Duration // to be read
	conn   *http.ResponseController
}

// open admits the request for a body of at most limit bytes, waits until it may be read, and starts its clock. The body
// must be closed.
func (s *Server) open(c *gin.Context, limit int64) (*body, error) {
	length := c.Request.ContentLength
	if length > limit {
		return nil, tooLarge(limit)
	}
	seat, err := s.admission.enter(max(0, length))
	if err != nil {
		return nil, err
	}
	b := &body{raw: c.Request.Body, length: length, limit: limit, seat: seat, conn: http.NewResponseController(c.Writer)}
	if err := s.wait(c.Request.Context(), b); err != nil {
		seat.leave()
		return nil, err
	}
	if err := b.conn.SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)); err != nil {
		b.close()
		return nil, fmt.Errorf("set the body's deadline: %w", err)
	}
	return b, nil
}

// wait returns when the body may be read. That is part of the time that its answer has.
func (s *Server) wait(ctx context.Context, b *body) (err error) {
	start := time.Now()
	if b.share, err = s.readAhead.enter(ctx, b.length, s.cfg.Timeout); err != nil {
		return s.engineFault(err)
	}
	b.waited = time.Since(start)
	return nil
}

// Read reads on, and fails once the body is larger than its limit. A body of unknown length takes its room in
// the server's budget as it arrives.
func (b *body) Read(p []byte) (int, error) {
	if over := b.limit + 1 - b.read; int64(len(p)) > over {
		p = p[:over]
	}
	n, err := b.raw.Read(p)
	b.read += int64(n)
	if b.read > b.limit {
		return n, tooLarge(b.limit)
	}
	if short := b.read - b.seat.bytes; short > 0 {
		if full := b.seat.grow(short); full != nil {
			return n, full
		}
	}
	return n, err
}

// arrived stops the clock: net/http must not take the body's deadline for a client that went away.
func (b *body) arrived() error {
	b.share.arrived()
	if err := b.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("clear the body's deadline: %w", err)
	}
	return nil
}

func (b *body) close() {
	b.share.leave()
	b.seat.leave()
}

// left is how many bytes are still to come, at most: those that package multipart has read and not yet handed on are
// among them. Where that is not known it is a guess.
func (b *body) left() int64 {
	const held = 4 << 10 // its buffer
	if b.length < 0 {
		return firstRoom
	}
	return max(0, b.length-b.read) + held
}

// drain throws away what is left of a refused body, within bounds. A client that waits for "100 Continue" sends
// nothing, so there is nothing to drain.
func drain(c *gin.Context, x *exchange) {
	r := c.Request
	conn := http.NewResponseController(c.Writer)
	if r.ContentLength == 0 || conn.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	if x.bytes == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return // net/http closes the connection, and waits for the body no longer than the deadline
	}
	n, err := io.CopyN(io.Discard, r.Body, drainBytes)
	x.bytes += n
	if !errors.Is(err, io.EOF) {
		c.Header("Connection", "close") // what is left must not be read as the next request
		return
	}
	_ = conn.SetReadDeadline(time.Time{}) // a connection that cannot is closed by the next read
}

func tooLarge(limit int64) *fault.Fault {
	return fault.New(fault.BodyTooLarge, "the body is larger than %d bytes, the most that is read", limit)
}

// isTransport says whether reading failed below the form: the client went away, was too slow, or cut the body.
func isTransport(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// bodyFault says what went wrong while a body was read; what is not about the transport is returned as it is.
func (s *Server) bodyFault(err error, b *body) error {
	var f *fault.Fault
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault.Wrap(bodyTimeout, err, "the body did not arrive within %s; %d bytes did", s.cfg.BodyTimeout, b.read)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.Malformed, err, "the body ends too early, after %d bytes", b.read)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fault.Wrap(fault.Canceled, err, "the client went away")
	}
	return fault.Wrap(fault.Malformed, err, "the body cannot be read")
}
