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

// errStalled is why an attempt ends whose replica gives no sign of life any more.
var errStalled = errors.New("the replica gives no sign of life")

// attempt is one try to give a request to a replica.
type attempt struct {
	pool   *Balancer
	to     *member
	body   *body                 // nil: none
	last   bool                  // no further one may follow
	got    atomic.Pointer[grant] // the connection that was found; nil: none yet
	waits  atomic.Int64          // since when the replica owes a sign of life, on the pool's clock; 0: it does not
	begun  atomic.Bool           // its answer has
	ctx    context.Context
	cancel context.CancelCauseFunc
}

type grant struct {
	conn *conn
	mark int64 // bytes written to it by earlier requests
}

// found is told of the connection that the request will be written to.
func (a *attempt) found(info httptrace.GotConnInfo) {
	c, ok := info.Conn.(*conn)
	if !ok {
		return // the transport has no other dialer
	}
	a.got.Store(&grant{c, c.written.Load()})
	c.check.Store(info.Reused)
	c.writer.Store(a)
}

// owed notes that the replica is to take what is being written, or to answer what was.
func (a *attempt) owed() {
	if !a.begun.Load() {
		a.waits.Store(int64(a.pool.clock()))
	}
}

// heard notes the first byte of an answer.
func (a *attempt) heard() {
	a.begun.Store(true)
	a.waits.Store(0)
	a.to.alive(a.pool.clock())
}

// untouched says whether no byte of the request was written, so that the replica cannot know of it.
func (a *attempt) untouched() bool {
	g := a.got.Load()
	return g == nil || g.conn.written.Load() == g.mark
}

// outcome says why the attempt gave no answer that the client should have; "" if it did. The reason is also that of the
// metric.
func (a *attempt) outcome(res *http.Response, err error) reason {
	var op *net.OpError
	var timeout net.Error
	switch {
	case err == nil && (res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusServiceUnavailable):
		return unavailable
	case err == nil:
		return ""
	case a.got.Load() == nil && errors.As(err, &op) && op.Op == "dial":
		return dialFailed
	case a.got.Load() == nil && a.ctx.Err() == nil:
		return notSent
	case errors.Is(context.Cause(a.ctx), errStalled):
		return stalled
	case a.untouched():
		return stale
	case errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	}
	return lost
}

// send gives the request to the replica.
func (a *attempt) send(t *http.Transport, req *http.Request) (*http.Response, error) {
	defer a.pool.settle(a)
	a.ctx, a.cancel = context.WithCancelCause(req.Context())
	a.pool.await(a)
	out := req.WithContext(httptrace.WithClientTrace(a.ctx, &httptrace.ClientTrace{
		GotConn:              a.found,
		WroteRequest:         func(info httptrace.WroteRequestInfo) { a.wrote(info.Err) },
		GotFirstResponseByte: a.heard,
	}))
	u := *req.URL
	u.Scheme, u.Host = a.to.url.Scheme, a.to.url.Host
	out.URL = &u
	out.Trailer = nil // of the request; a proxy may drop them, and no route reads any
	if a.body != nil {
		out.Body = &stream{body: a.body}
	}
	return t.RoundTrip(out)
}

func (a *attempt) wrote(err error) {
	if err == nil {
		a.owed()
	}
}

// movable tells whether the request can be given to another replica.
func (a *attempt) movable() bool { return !a.last && a.body.replayable() }

// since is how long the replica has owed a sign of life.
func (a *attempt) since(now time.Duration) (time.Duration, bool) {
	at := time.Duration(a.waits.Load())
	return now - at, at != 0
}
