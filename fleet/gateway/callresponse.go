package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
)

// readerError is the error of a client that does not read its answers, or is gone.
type readerError struct{ error }

// pass passes on a response until its end. The error is a *readerError, or that of the replica.
func (c *call) pass(res *http.Response) error {
	if res.StatusCode != http.StatusOK {
		return nil // what there is of it is the status
	}
	buf := buffers.Get()
	defer buffers.Put(buf)
	var a answers
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			if err := c.write(res, buf[:n]); err != nil {
				return &readerError{err}
			}
			a.add(buf[:n], c.answered)
		}
		switch {
		case err == io.EOF && !a.between():
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// answered notes that an answer was passed on.
func (c *call) answered(failed bool) {
	c.messages.answered()
	if !c.stream || !c.rc.predict {
		return
	}
	c.rc.tallied = true
	c.gateway.protection.Guard.Count(c.rc.client, http.StatusOK)
	if !failed { // whose fault an error is does not show
		c.gateway.balancer.record(c.rc.backend, true)
	}
}

// writeTimeout is how long a client may take to read what was written. It is what package httpserver allows for a byte.
const writeTimeout = time.Minute

// write writes a part of the response. Between the messages of a stream, its client need not read.
func (c *call) write(res *http.Response, p []byte) error {
	if !c.timed {
		limit := writeTimeout
		if !c.stream {
			limit, c.timed = c.gateway.requestTimeout, true
		}
		if err := c.conn.SetWriteDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
	}
	c.begin(res.Header)
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	if err == nil {
		err = c.conn.Flush()
	}
	if err == nil && c.stream {
		err = c.conn.SetWriteDeadline(time.Time{})
	}
	return err
}

// begin writes the headers of the response.
func (c *call) begin(from http.Header) {
	if c.begun {
		return
	}
	c.begun = true
	h := c.w.Header()
	maps.Copy(h, from)
	delete(h, "Content-Length")
	c.w.WriteHeader(http.StatusOK)
}

// end ends the response as the replica has; res is nil if a stream has ended between two replicas.
func (c *call) end(res *http.Response) error {
	if res == nil {
		c.rc.judged = true
		c.finish(codes.OK, "")
		return nil
	}
	at := statusOf(res)
	c.rc.judged = c.stream && at == codes.OK || at == codes.DeadlineExceeded && !c.messages.deadline.IsZero() && time.Now().After(c.messages.deadline)
	_, headersOnly := grpcstatus.Read(res.Header)
	_, known := grpcstatus.Read(res.Trailer)
	switch {
	case headersOnly:
		c.begin(res.Header)
		c.rc.status, c.status = grpcstatus.HTTP(at), at
	case !known:
		c.finish(at, "the replica has responded without a status of gRPC")
	default:
		c.begin(res.Header)
		_ = c.conn.Flush() // the trailers follow the headers; a client that is gone needs neither
		c.finish(at, "")
		for name, values := range res.Trailer {
			c.w.Header()[http.TrailerPrefix+name] = values
		}
	}
	return nil
}

// finish writes a status: in trailers, or in headers if there are none yet.
func (c *call) finish(code codes.Code, message string) {
	c.rc.status, c.status = grpcstatus.HTTP(code), code
	if c.begun {
		grpcstatus.Set(c.w.Header(), http.TrailerPrefix, code, message)
		return
	}
	h := http.Header{"Content-Type": {grpcstatus.ContentType}}
	grpcstatus.Set(h, "", code, message)
	c.begin(h)
}

// refuse ends the call with an error of the gateway.
func (c *call) refuse(err error) {
	e := apierror.From(err)
	c.rc.err = e
	c.finish(grpcstatus.Of(e.Code), e.Message)
	c.rc.status = e.Code.Status()
}

// explain is the error for a client whose message did not arrive.
func (c *call) explain(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDeadline):
		return pastDeadline(err)
	case errors.Is(cause, errTotal):
		return apierror.Wrap(apierror.BodyTimeout, err, "the message did not arrive in time")
	}
	return bodyError(err, c.r.Context().Err() != nil)
}

// cut is the error for a response that has begun and does not continue.
func (c *call) cut(ctx context.Context, err error) error {
	gone, isGone := errors.AsType[*readerError](err)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errDeadline):
		return pastDeadline(err)
	case isGone:
		return apierror.Wrap(apierror.Canceled, gone.error, "the client disconnected, or did not read its answer")
	case c.r.Context().Err() != nil:
		return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
	case errors.Is(cause, errTotal):
		return apierror.Wrap(apierror.DeadlineExceeded, err, "the replica did not respond in time")
	}
	if e := c.rc.body.readError(false); e != nil { // the client's message did not arrive
		return bodyError(e, false)
	}
	c.gateway.metrics.upstream[cut].Inc()
	if sums := c.rc.sums(); c.gateway.poison != nil {
		for _, sum := range sums {
			c.gateway.poison.recordLoss(sum, c.rc.resent)
		}
	}
	return apierror.Wrap(apierror.ResponseCut, err, "the replica was lost while it responded; requests without an answer may have run")
}

// statusOf is the status of a call whose response has ended. Without one, it is that for the HTTP status, as gRPC's clients have it
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func statusOf(res *http.Response) codes.Code {
	if code, ok := grpcstatus.Read(res.Trailer); ok {
		return code
	}
	if code, ok := grpcstatus.Read(res.Header); ok {
		return code
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return codes.Unavailable
	}
	return codes.Unknown
}
