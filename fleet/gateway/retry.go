package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"fovea/internal/apierror"
)

// reason is why a replica gave no whole answer, as the metric of upstream errors has it.
type reason string

const (
	dialFailed  reason = "dial"        // no connection
	stale       reason = "stale"       // a kept connection that was closed before a byte of the request was written
	notSent     reason = "request"     // net/http could not make a request of it
	timedOut    reason = "timeout"     // no answer in time
	stalled     reason = "stalled"     // it gave no sign of life any more
	lost        reason = "lost"        // the connection ended before an answer
	cut         reason = "cut"         // the connection ended within an answer
	unavailable reason = "unavailable" // it answered 502 or 503
)

var reasons = []reason{dialFailed, stale, notSent, timedOut, stalled, lost, cut, unavailable}

const (
	// lossPatience bounds the wait for a replica that a request under which another was lost may be given to.
	lossPatience = 10 * time.Second
	lossTick     = 20 * time.Millisecond
)

// errTotal is why a request's context ends when the gateway's own time is over.
var errTotal = errors.New("the request took longer than the gateway allows")

// retrier is the http.RoundTripper that picks a replica, and another when the first did not answer.
type retrier struct {
	transport *http.Transport
	pool      *Pool
	metrics   *metrics
	killers   *killers
	memory    *budget
	suspects  chan struct{} // holds one for a request that is tried again after a loss
	patience  time.Duration // with such a request
}

// RoundTrip implements http.RoundTripper. The request's context holds its exchange. Errors are *fault.Fault.
func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	x := exchangeOf(req.Context())
	if req.Body != nil {
		x.body = newBody(req.Body, req.ContentLength, t.killers, t.memory)
	}
	if x.replica = t.pool.acquire(); x.replica == nil {
		return nil, apierror.New(apierror.NotReady, "no replica is ready")
	}
	defer t.cleared(x)
	for {
		try := &attempt{pool: t.pool, to: x.replica, body: x.body, last: x.resent || !repeatable(req.Method)}
		res, err := try.send(t.transport, req)
		why := try.outcome(res, err)
		if why == "" || !t.another(req, x, why) {
			return t.take(req.Context(), x, res, why, err)
		}
		if res != nil {
			_ = res.Body.Close() // nobody reads it
		}
		try.cancel(nil)
	}
}

// take ends a request with what its last attempt gave.
func (t *retrier) take(ctx context.Context, x *exchange, res *http.Response, why reason, err error) (*http.Response, error) {
	if err != nil {
		return nil, t.explain(ctx, x, why, err)
	}
	if x.body != nil {
		x.body.forget()
		if t.killers != nil && x.body.whole.Load() && looked(res.StatusCode) {
			t.killers.answered(x.body.sum.Load())
		}
	}
	if why != "" {
		t.count(x, why)
	}
	return res, nil
}

// looked tells whether a replica that answers with a status has looked at the body. One that is busy, not ready or out of
// time may not have come to it.
func looked(status int) bool {
	return status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout
}

// another moves the request to another replica. Where the first cannot know of it, all are tried; where it may have been
// run, one more, and only with what may be run twice.
func (t *retrier) another(req *http.Request, x *exchange, why reason) bool {
	ctx := req.Context()
	if ctx.Err() != nil || x.clientFailed() {
		return false
	}
	switch why {
	case dialFailed, stale:
		if !x.body.replayable() {
			return false
		}
	case lost, stalled, timedOut, unavailable:
		if x.resent || !repeatable(req.Method) || !x.body.replayable() {
			return false
		}
	default:
		return false
	}
	first := x.replica
	next := t.next(ctx, x, why)
	if next == nil && why == stale && slices.Index(x.tried, first) == len(x.tried)-1 && t.pool.again(first) {
		next = first
	}
	if next == nil {
		return false
	}
	if !x.counted {
		t.count(x, why)
	}
	x.counted = false
	t.pool.release(first)
	t.metrics.retries.Inc()
	x.replica, x.retried = next, true
	x.resent = x.resent || why != dialFailed && why != stale
	return true
}

// repeatable tells whether a request may be run twice. Predictions are POSTs and change nothing.
func repeatable(method string) bool {
	return method == http.MethodPost || method == http.MethodGet || method == http.MethodHead
}

// next takes a place at the replica that the request is tried at after a failure.
func (t *retrier) next(ctx context.Context, x *exchange, why reason) *member {
	x.tried = append(x.tried, x.replica)
	if why != lost || x.body == nil || !x.body.whole.Load() {
		return t.pool.acquire(x.tried...)
	}
	t.count(x, why)
	x.counted = true
	if t.killers != nil && t.killers.refuse(x.body.sum.Load()) {
		return nil
	}
	return t.afterLoss(ctx, x)
}

// afterLoss finds a replica for a request under which one was lost. Its body may be to blame, so such requests are tried one
// at a time, and only where another replica stands ready beside: no body takes the last one. With none but the one that was
// lost nothing is waited for.
func (t *retrier) afterLoss(ctx context.Context, x *exchange) *member {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	if m, alone := t.pool.spare(x.tried...); m != nil {
		t.pool.release(m)
	} else if alone {
		return nil
	}
	select {
	case t.suspects <- struct{}{}:
		x.suspect = true
	case <-ctx.Done():
		return nil
	}
	ticker := time.NewTicker(lossTick)
	defer ticker.Stop()
	for {
		if m, _ := t.pool.spare(x.tried...); m != nil {
			return m
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// cleared lets the next request be tried again after a loss.
func (t *retrier) cleared(x *exchange) {
	if x.suspect {
		<-t.suspects
		x.suspect = false
	}
}

// count notes a replica's failure. One that was lost may still take connections for a moment, when a proxy of the
// engine's does so in its stead, and would then lose every request that it attracts.
func (t *retrier) count(x *exchange, why reason) {
	switch why {
	case dialFailed, lost, unavailable:
		t.pool.refused(x.replica)
	}
	if why == lost || why == stalled || why == timedOut {
		x.failed(t.pool)
	}
	if (why == lost || why == stalled) && x.body != nil && t.killers != nil && x.body.whole.Load() {
		t.killers.lost(x.body.sum.Load(), x.resent)
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
		return apierror.Wrap(apierror.NotReady, err, "no replica could be reached; the request was not run and can be sent again")
	case notSent:
		return apierror.Wrap(apierror.Malformed, err, "the request cannot be passed on")
	case timedOut:
		return apierror.Wrap(apierror.DeadlineExceeded, err, "the replica did not answer in time")
	}
	return apierror.Wrap(apierror.ReplicaLost, err, "the replica was lost while it answered; the request may have been run")
}

// clientFault returns the fault when it is the client's, else nil.
func clientFault(ctx context.Context, x *exchange, err error) *apierror.Error {
	if x.body != nil && x.body.refused.Load() {
		return apierror.New(apierror.PoisonRequest, "replicas were lost while they answered this body; it is refused for now")
	}
	gone := ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTotal)
	cause := x.body.cause(gone)
	switch {
	case cause != nil:
		return bodyFault(cause, gone)
	case gone:
		return apierror.Wrap(apierror.Canceled, err, "the client went away")
	}
	return nil
}
