package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// attempt is one try to give a request to a replica.
type attempt struct {
	got atomic.Pointer[grant] // the connection that was found; nil: none yet
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
}

// untouched says whether no byte of the request was written, so that the replica cannot know of it.
func (a *attempt) untouched() bool {
	g := a.got.Load()
	return g == nil || g.conn.written.Load() == g.mark
}

// failed says why the attempt ended with err; the reason is also that of the metric.
func (a *attempt) failed(err error) reason {
	var op *net.OpError
	var timeout net.Error
	switch {
	case a.got.Load() == nil && errors.As(err, &op) && op.Op == "dial":
		return dialFailed
	case a.got.Load() == nil:
		return notSent
	case a.untouched():
		return stale
	case errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	}
	return lost
}

// send gives the request to one replica.
func (a *attempt) send(t *http.Transport, req *http.Request, to *member, b *body) (*http.Response, error) {
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: a.found})
	out := req.WithContext(ctx)
	u := *req.URL
	u.Scheme, u.Host = to.url.Scheme, to.url.Host
	out.URL = &u
	out.Trailer = nil // of the request; a proxy may drop them, and no route reads any
	if b != nil {
		out.Body = &stream{attempt: a, body: b}
	}
	return t.RoundTrip(out)
}
