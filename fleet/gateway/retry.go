package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"fovea/fault"
)

// reason is why a replica gave no whole answer, as the metric of upstream errors has it.
type reason string

const (
	dialFailed reason = "dial"    // no connection
	stale      reason = "stale"   // a kept connection that was closed before a byte of the request was written
	notSent    reason = "request" // net/http could not make a request of it
	timedOut   reason = "timeout" // no answer in time
	lost       reason = "lost"    // the connection ended before an answer
	cut        reason = "cut"     // the connection ended within an answer
)

var reasons = []reason{dialFailed, stale, notSent, timedOut, lost, cut}

// errTotal is why a request's context ends when the gateway's own time is over.
var errTotal = errors.New("the request took longer than the gateway allows")

// retrier is the http.RoundTripper that picks a replica, and another when the first took no connection.
type retrier struct {
	transport *http.Transport
	pool      *Pool
	metrics   *metrics
	killers   *killers
}

// RoundTrip implements http.RoundTripper. The request's context holds its exchange. Errors are *fault.Fault.
func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	if req.Body != nil {
		x.body = newBody(req.Body, req.ContentLength, t.killers)
	}
	if x.replica = t.pool.acquire(nil); x.replica == nil {
		return nil, fault.New(fault.NotReady, "no replica is ready")
	}
	try := new(attempt)
	res, err := try.send(t.transport, req, x.replica, x.body)
	if err != nil && t.another(req.Context(), x, try.failed(err)) {
		try = new(attempt)
		res, err = try.send(t.transport, req, x.replica, x.body)
	}
	if err != nil {
		return nil, t.explain(req.Context(), x, try.failed(err), err)
	}
	if x.body != nil && t.killers != nil && x.body.whole.Load() && looked(res.StatusCode) {
		t.killers.answered(x.body.sum.Load())
	}
	return res, nil
}

// looked tells whether a replica that answers with a status has looked at the body. One that is busy, not ready or out of
// time may not have come to it.
func looked(status int) bool {
	return status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout
}

// another moves the request to another replica if the first cannot know of it. A kept connection that was closed
// says little of its replica, so that it may be the same one when there is no other.
func (t *retrier) another(ctx context.Context, x *exchange, why reason) bool {
	if why != dialFailed && why != stale || ctx.Err() != nil || x.clientFailed() {
		return false
	}
	t.count(x, why)
	first := x.replica
	next := t.pool.acquire(first)
	if next == nil && why == stale && t.pool.again(first) {
		next = first
	}
	if next == nil {
		x.counted = true
		return false
	}
	t.pool.release(first)
	t.metrics.retries.Inc()
	x.replica, x.retried = next, true
	return true
}

// count notes a replica's failure. One that was lost may still take connections for a moment, when a proxy of the
// engine's does so in its stead, and would then lose every request that it attracts.
func (t *retrier) count(x *exchange, why reason) {
	if why == dialFailed || why == lost {
		t.pool.refused(x.replica)
	}
	t.metrics.upstream[why].Inc()
}

// explain says what the client is told of a request that got no answer, and what is learnt of the replica.
func (t *retrier) explain(ctx context.Context, x *exchange, why reason, err error) error {
	if f := clientFault(ctx, x, err); f != nil {
		return f
	}
	if errors.Is(context.Cause(ctx), errTotal) {
		why = timedOut
	}
	if !x.counted {
		t.count(x, why)
	}
	switch why {
	case dialFailed, stale:
		return fault.Wrap(fault.NotReady, err, "no replica could be reached; the request was not run and can be sent again")
	case notSent:
		return fault.Wrap(fault.Malformed, err, "the request cannot be passed on")
	case timedOut:
		return fault.Wrap(fault.DeadlineExceeded, err, "the replica did not answer in time")
	}
	if x.body != nil && t.killers != nil && x.body.whole.Load() {
		t.killers.lost(x.body.sum.Load())
	}
	return fault.Wrap(ReplicaLost, err, "the replica was lost while it answered; the request may have been run and was not tried again")
}

// clientFault returns the fault when it is the client's, else nil.
func clientFault(ctx context.Context, x *exchange, err error) *fault.Fault {
	if x.body != nil && x.body.refused.Load() {
		return fault.New(ReplicaKiller, "replicas were lost while they answered this body; it is refused for now")
	}
	gone := ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTotal)
	cause := x.body.cause(gone)
	var op net.Error
	switch {
	case cause == nil && gone:
		return fault.Wrap(fault.Canceled, err, "the client went away")
	case cause == nil:
		return nil
	}
	if f := slowFault(cause); f != nil {
		return f
	}
	switch {
	case errors.As(cause, &op) && op.Timeout():
		return fault.Wrap(bodyTimeout, cause, "the body did not arrive in time")
	case errors.As(cause, &op), errors.Is(cause, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.Canceled, cause, "the client went away")
	}
	return fault.Wrap(fault.Malformed, cause, "the body cannot be read")
}
