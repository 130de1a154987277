package gateway

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"

	"google.golang.org/grpc/codes"

	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
)

// call is a call of gRPC that is forwarded. A stream is sent to one replica after another when the first leaves rotation; other calls are
// sent to one.
type call struct {
	gateway  *Gateway
	w        http.ResponseWriter
	r        *http.Request
	rc       *requestContext
	conn     *http.ResponseController
	messages *messages
	stream   bool

	begun  bool // the response's headers are written
	timed  bool // the response has a deadline
	bytes  int64
	status codes.Code
}

// errMoved: the stream's next message is for another replica.
var errMoved = errors.New("the stream moves to another replica")

// run forwards the call.
func (c *call) run(route access.Route, leave func()) error {
	g := c.gateway
	slot, err := g.calls.open.Admit(c.rc.client.ID, http.NoBody, 0, 0, c.conn, nil)
	if full, ok := errors.AsType[*admission.FullError](err); ok {
		leave()
		return busy(full)
	}
	if err != nil {
		leave()
		return err
	}
	defer slot.Release()
	c.messages = newMessages(g, c.w, c.r, c.rc, route, leave)
	defer c.messages.end()
	ctx, cancel, err := c.limit(c.r.Context())
	if err != nil {
		return err
	}
	defer cancel()
	c.rc.messages, c.messages.ctx = c.messages, ctx
	defer context.AfterFunc(g.drained, c.messages.stop)()
	for legs := 0; ; legs++ {
		more, err := c.messages.await()
		switch {
		case errors.Is(err, errHalted):
			return apierror.New(apierror.Draining, "the gateway is shutting down; open the stream again")
		case err != nil:
			return c.explain(ctx, err)
		case !more && legs > 0:
			return c.end(nil)
		}
		if err := c.leg(ctx); !errors.Is(err, errMoved) {
			return err
		}
		g.balancer.release(c.rc.backend)
		c.rc.backend, c.rc.tried, c.rc.resent, c.rc.counted = nil, nil, false, false
		if c.messages.resume(); g.drained.Err() != nil {
			c.messages.stop()
		}
	}
}

// leg sends messages to one replica and passes on its answers. It returns errMoved if the stream continues at another.
func (c *call) leg(ctx context.Context) error {
	rc, m := c.rc, c.messages
	ctx, cancel := context.WithCancel(context.WithValue(ctx, requestContextKey{}, rc))
	defer cancel()
	rc.body = newBody(m, -1, nil, c.gateway.retrier.memory)
	res, err := c.gateway.retrier.RoundTrip(c.request(ctx))
	if err != nil {
		rc.body.seal(m.interrupt)
		return err
	}
	defer func() { _ = res.Body.Close() }() // the call is over
	failed := c.pass(res)
	stopped := m.isHalted()
	rc.body.seal(m.interrupt) // no reading is in progress any more
	stopped = stopped && !m.ended
	switch {
	case c.stream && m.idle() && c.movable(res, failed, stopped):
		return errMoved
	case failed != nil:
		return c.cut(ctx, failed)
	case stopped && statusOf(res) == codes.OK:
		return apierror.New(apierror.Draining, "the replica has ended the stream before it had answered all messages")
	}
	return c.end(res)
}

// movable reports whether a stream whose messages are all answered continues at another replica: its reading was stopped, its replica
// shuts down, or its connection was lost.
func (c *call) movable(res *http.Response, failed error, stopped bool) bool {
	_, gone := errors.AsType[*readerError](failed)
	switch {
	case gone, c.messages.ctx.Err() != nil:
		return false
	case failed != nil:
		c.gateway.metrics.upstream[lost].Inc()
		c.gateway.balancer.coolDown(c.rc.backend)
		return true
	case !c.begun || res.StatusCode != http.StatusOK: // it has answered nothing
		return false
	}
	at := statusOf(res)
	return at == codes.Unavailable || at == codes.OK && stopped
}

// request is the request for a replica.
func (c *call) request(ctx context.Context) *http.Request {
	req := c.r.WithContext(ctx)
	h := maps.Clone(c.r.Header)
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		delete(h, name) // from the client, and not to be trusted
	}
	c.gateway.introduce(ctx, h, c.rc)
	c.rc.client.Restrict(h)
	h["Te"] = []string{"trailers"}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // not net/http's
	}
	req.Header, req.RequestURI, req.Trailer = h, "", nil
	req.Body, req.ContentLength = io.NopCloser(c.messages), c.messages.length()
	return req
}
