package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"

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
	admitted *admission.Body
	server   *Server
	ctx      context.Context // of the request: io.Reader has no other way to it
	length   int64           // as announced; -1: unknown
	limit    int64
	read     int64
	head     []byte // read by peek, and not by Read yet
	share    *share
	begun    bool          // it may be read beyond its first block
	waited   time.Duration // to be read
}

// open admits the request for a body of at most limit bytes, and starts its clock. The body must be closed.
func (s *Server) open(c *gin.Context, limit int64) (*body, error) {
	r := c.Request
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	admitted, err := s.admission.Admit(r.RemoteAddr, r.Body, r.ContentLength, s.cfg.BodyTimeout, http.NewResponseController(c.Writer), httpserver.Unread(r))
	if err != nil {
		return nil, s.admissionFault(err, 0)
	}
	return &body{admitted: admitted, server: s, ctx: r.Context(), length: r.ContentLength, limit: limit, share: s.readAhead.enter()}, nil
}

// Read reads on, and fails once the body is larger than its limit. What has arrived takes its room in the server's
// budget. Beyond the first block it waits for its turn.
func (b *body) Read(p []byte) (int, error) {
	if len(b.head) > 0 {
		n := copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	}
	return b.receive(p)
}

func (b *body) receive(p []byte) (int, error) {
	if over := b.limit + 1 - b.read; int64(len(p)) > over {
		p = p[:over]
	}
	if b.read < firstBlock {
		p = p[:min(int64(len(p)), firstBlock-b.read)]
	} else if err := b.turn(); err != nil {
		return 0, err
	}
	n, err := b.admitted.Read(p)
	b.read += int64(n)
	b.share.read(n)
	if b.read > b.limit {
		return n, tooLarge(b.limit)
	}
	return n, err
}

// turn returns when the body may be read beyond its first block. That is part of the time that its answer has.
func (b *body) turn() (err error) {
	if b.begun || b.admitted.Arrived() {
		return nil
	}
	b.begun = true
	if b.share.tryBegin() {
		return nil
	}
	b.waited, err = b.admitted.Wait(func() error {
		ctx, cancel := context.WithTimeout(b.ctx, b.server.cfg.Timeout)
		defer cancel()
		if err := b.share.begin(ctx); err != nil {
			return b.server.engineFault(err)
		}
		return nil
	})
	return err
}

// peek returns the first n bytes, or all when there are fewer, and leaves them to Read.
func (b *body) peek(n int) ([]byte, error) {
	head := make([]byte, n)
	got := 0
	for got < n {
		more, err := b.receive(head[got:])
		got += more
		if errors.Is(err, io.EOF) {
			break // which the next read returns again
		}
		if err != nil {
			return nil, err
		}
	}
	b.head = head[:got]
	return b.head, nil
}

// arrived notes that nothing more of the body is wanted.
func (b *body) arrived() { b.share.arrived() }

func (b *body) close() {
	b.share.leave()
	b.admitted.Release()
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
// nothing, so there is nothing to drain. On HTTP/2 a stream whose body is unread is reset behind its answer, as RFC 9113
// section 8.1 has it; but curl before 8 loses the answer then.
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
		if r.ProtoMajor == 1 {
			c.Header("Connection", "close") // what is left must not be read as the next request
		}
		return
	}
	_ = conn.SetReadDeadline(time.Time{}) // a connection that cannot is closed by the next read
}

func tooLarge(limit int64) *apierror.Error {
	return apierror.New(apierror.BodyTooLarge, "the body is larger than %d bytes, the most that is read", limit)
}

// isTransport says whether reading failed below the form: the client went away, was too slow, gave its slot up, or cut the
// body.
func isTransport(err error) bool {
	var full *admission.FullError
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, admission.ErrDisplaced) || errors.As(err, &full)
}

// bodyFault says what went wrong while a body was read; what is not about the transport is returned as it is.
func (s *Server) bodyFault(err error, b *body) error {
	err = s.admissionFault(err, b.read)
	var f *apierror.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return apierror.Wrap(apierror.Malformed, err, "the body ends too early, after %d bytes", b.read)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return apierror.Wrap(apierror.Canceled, err, "the client went away")
	}
	return apierror.Wrap(apierror.Malformed, err, "the body cannot be read")
}
