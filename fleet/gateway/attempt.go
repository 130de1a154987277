package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// errUnresponsive ends an attempt at an unresponsive backend.
var errUnresponsive = errors.New("the replica is unresponsive")

// attempt sends a request to one backend.
type attempt struct {
	balancer *Balancer
	backend  *backend
	body     *body                   // nil: none
	last     bool                    // no further attempt may follow
	conn     atomic.Pointer[connUse] // nil: no connection yet
	waiting  atomic.Int64            // since when the backend owes activity, on the balancer's clock; 0: it does not
	answered atomic.Bool             // the response has begun
	messages *messages               // of a call of gRPC; nil: HTTP
	sent     atomic.Bool             // of a call: its headers were written
	wrote    atomic.Bool             // of a call: all of it was read to be written
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

// connUse is the use of a connection for one attempt.
type connUse struct {
	conn   *conn
	before int64 // bytes written for earlier requests
}

// gotConn notes the connection that the request will be written to.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*conn)
	if !ok {
		return // the transport has no other dialer
	}
	a.conn.Store(&connUse{c, c.written.Load()})
	c.check.Store(info.Reused)
	c.writer.Store(a)
}

// wait notes that it is the backend's turn: to take what is being written, or to respond.
func (a *attempt) wait() {
	if !a.answered.Load() {
		a.waiting.Store(int64(a.balancer.clock()))
	}
}

// wroteHeaders notes that the headers of a call were written, unless that failed.
func (a *attempt) wroteHeaders() {
	if use := a.conn.Load(); use != nil {
		a.sent.Store(!use.conn.failed.Load())
	}
}

func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		a.wait()
	}
}

func (a *attempt) gotFirstByte() {
	a.answered.Store(true)
	a.waiting.Store(0)
	a.backend.active(a.balancer.clock())
}

// unsent reports whether no byte of the request was written, so that the backend cannot know of it.
func (a *attempt) unsent() bool {
	use := a.conn.Load()
	if a.messages != nil {
		return !a.sent.Load()
	}
	return use == nil || use.conn.written.Load() == use.before
}

// outcome returns why the attempt has no response for the client, as in the metric; "" if it has one.
func (a *attempt) outcome(res *http.Response, err error) reason {
	op, isOp := errors.AsType[*net.OpError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case err == nil && (res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusServiceUnavailable):
		return unavailable
	case err == nil:
		return ""
	case a.conn.Load() == nil && isOp && op.Op == "dial":
		return dialFailed
	case a.conn.Load() == nil && a.ctx.Err() == nil:
		return notSent
	case errors.Is(context.Cause(a.ctx), errUnresponsive):
		return unresponsive
	case a.unsent():
		return stale
	case isNet && timeout.Timeout():
		return timedOut
	}
	return lost
}

// send sends the request and waits for the response's headers.
func (a *attempt) send(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	a.ctx, a.cancel = context.WithCancelCause(req.Context())
	a.balancer.track(a)
	trace := &httptrace.ClientTrace{GotConn: a.gotConn, WroteRequest: a.wroteRequest, GotFirstResponseByte: a.gotFirstByte}
	if a.messages != nil {
		trace = &httptrace.ClientTrace{WroteHeaders: a.wroteHeaders}
	}
	out := req.WithContext(httptrace.WithClientTrace(a.ctx, trace))
	u := *req.URL
	u.Scheme, u.Host = a.backend.url.Scheme, a.backend.url.Host
	out.URL = &u
	out.Trailer = nil // of the request; a proxy may drop them, and no route reads any
	if a.body != nil {
		out.Body = a.reader(&stream{body: a.body})
	}
	res, err := t.RoundTrip(out)
	a.balancer.untrack(a)
	if err == nil && errors.Is(context.Cause(a.ctx), errUnresponsive) { // as its response began, which cannot be read any more
		return nil, errors.Join(errUnresponsive, res.Body.Close())
	}
	return res, err
}

// retryable reports whether another attempt may follow.
func (a *attempt) retryable() bool { return !a.last && a.body.replayable() }

// waitingFor returns how long the backend has owed activity; false if it does not.
func (a *attempt) waitingFor(now time.Duration) (time.Duration, bool) {
	since := time.Duration(a.waiting.Load())
	return now - since, since != 0
}
