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

// discardBytes and discardTime bound how much of a refused body is read and discarded, so that a client that is still sending
// gets the response instead of a connection reset.
const (
	discardBytes = 32 << 20
	discardTime  = time.Second
)

// body is a request's body. Reading it is bounded in bytes and time, by admission and by the read-ahead.
type body struct {
	admitted    *admission.Body
	server      *Server
	ctx         context.Context // of the request, for Read
	length      int64           // as announced; -1: unknown
	limit       int64
	read        int64
	peeked      []byte // and not returned by Read yet
	reservation *reservation
	permitAsked bool
	arrived     func() int    // how many bytes can be read at once, about; 0: unknown
	waited      time.Duration // for a read permit
}

// open admits the request with a body of at most limit bytes. The body must be closed.
func (s *Server) open(c *gin.Context, rc *requestContext, limit int64) (*body, error) {
	r := c.Request
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	admitted, err := s.admission.Admit(rc.client.ID, r.Body, r.ContentLength, s.cfg.BodyTimeout, http.NewResponseController(c.Writer), httpserver.Unread(r))
	if err != nil {
		return nil, admission.APIError(err, "body", 0, s.cfg.BodyTimeout)
	}
	return &body{admitted: admitted, server: s, ctx: r.Context(), length: r.ContentLength, limit: limit, reservation: s.readAhead.reserve(),
		arrived: func() int { return httpserver.Arrived(r) }}, nil
}

// Read implements io.Reader. It fails once the body exceeds its limit, and waits for a read permit after the first block.
func (b *body) Read(p []byte) (int, error) {
	if len(b.peeked) > 0 {
		n := copy(p, b.peeked)
		b.peeked = b.peeked[n:]
		return n, nil
	}
	if over := b.limit + 1 - b.read; int64(len(p)) > over {
		p = p[:over]
	}
	switch {
	case b.read >= firstBlock:
		if err := b.awaitReadPermit(); err != nil {
			return 0, err
		}
	case len(p) > firstBlock && b.tryReadPermit():
	default:
		p = p[:min(int64(len(p)), firstBlock-b.read)]
	}
	n, err := b.admitted.Read(p)
	b.read += int64(n)
	b.reservation.received(n)
	if b.read > b.limit {
		return n, tooLarge(b.limit)
	}
	return n, err
}

// tryReadPermit reports whether the body may be read beyond its first block, which has arrived, without a wait.
func (b *body) tryReadPermit() bool {
	if !b.permitAsked && b.arrived() >= firstBlock {
		b.permitAsked = b.reservation.tryAcquire()
	}
	return b.permitAsked
}

// size is the size of a buffer for a body of expected bytes of which have bytes are read: as much as has arrived, at least.
func (b *body) size(have, expected int) int {
	const buffered = 4 << 10 // by net/http
	size := nextSize(have, expected)
	if size < expected {
		size = max(size, min(expected, have+buffered+b.arrived()))
	}
	return size
}

// awaitReadPermit waits until the body may be read beyond its first block. That counts toward the time for the response.
func (b *body) awaitReadPermit() (err error) {
	if b.permitAsked || b.admitted.Arrived() {
		return nil
	}
	b.permitAsked = true
	if b.reservation.tryAcquire() {
		return nil
	}
	b.waited, err = b.admitted.Wait(func() error {
		ctx, cancel := context.WithTimeout(b.ctx, b.server.cfg.Timeout)
		defer cancel()
		if err := b.reservation.acquire(ctx); err != nil {
			return b.server.engineError(err)
		}
		return nil
	})
	return err
}

// peek returns the first n bytes, or all if there are fewer. Read returns them again.
func (b *body) peek(n int64) (first []byte, err error) {
	b.peeked, err = io.ReadAll(io.LimitReader(b, n))
	return b.peeked, err
}

// close ends the request's admission. Further calls do nothing.
func (b *body) close() {
	b.reservation.release()
	b.admitted.Release()
}

// remaining is an upper bound of the bytes that Read has not returned yet, including those that package multipart has
// buffered. If the length is unknown, it is a guess.
func (b *body) remaining() int64 {
	const buffered = 4 << 10
	if b.length < 0 {
		return initialSize
	}
	return max(0, b.length-b.read) + buffered
}

// discardBody discards the rest of a refused body, within bounds. A client that waits for "100 Continue" sends nothing. On
// HTTP/2 a stream whose body is unread is reset after the response, as in RFC 9113 section 8.1; but curl before version 8
// loses the response then. net/http sets the deadline of the next request.
func discardBody(c *gin.Context, rc *requestContext) {
	r := c.Request
	if r.ContentLength == 0 || http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(discardTime)) != nil {
		return
	}
	if rc.bytes == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return // net/http closes the connection, after the deadline at the latest
	}
	n, err := io.CopyN(io.Discard, r.Body, discardBytes)
	rc.bytes += n
	if !errors.Is(err, io.EOF) && r.ProtoMajor == 1 {
		c.Header("Connection", "close") // the rest must not be read as the next request
	}
}

// dropBody leaves the body of a refused request to net/http, which discards a short one. A long one is not read at all, at the
// price of the connection: a new one, with its TLS handshake, costs more than a short body.
func dropBody(c *gin.Context) {
	if httpserver.IsLong(c.Request) && c.Request.ProtoMajor == 1 {
		c.Header("Connection", "close")
	}
}

func tooLarge(limit int64) *apierror.Error {
	return apierror.New(apierror.BodyTooLarge, "the body is larger than the limit of %d bytes", limit)
}

// isTransportError reports whether reading failed below the body's format: the client disconnected, was too slow, was
// displaced, or cut the body short.
func isTransportError(err error) bool {
	_, full := errors.AsType[*admission.FullError](err)
	return full || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, admission.ErrDisplaced)
}

// bodyError turns an error of reading a body into an API error.
func (s *Server) bodyError(err error, b *body) error {
	err = admission.APIError(err, "body", b.read, s.cfg.BodyTimeout)
	if _, ok := errors.AsType[*apierror.Error](err); ok {
		return err
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return apierror.Wrap(apierror.Malformed, err, "the body ends unexpectedly after %d bytes", b.read)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
	}
	return apierror.Wrap(apierror.Malformed, err, "the body cannot be read")
}
