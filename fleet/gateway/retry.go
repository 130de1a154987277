package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"fovea/internal/apierror"
)

// reason is why a backend gave no complete response, as in the metric of upstream errors.
type reason string

const (
	dialFailed   reason = "dial"         // no connection
	stale        reason = "stale"        // a kept connection that was closed before a byte of the request was written
	notSent      reason = "request"      // net/http could not send the request
	timedOut     reason = "timeout"      // no response in time
	unresponsive reason = "unresponsive" // the backend was unresponsive
	lost         reason = "lost"         // the connection ended before a response
	cut          reason = "cut"          // the connection ended within a response
	unavailable  reason = "unavailable"  // 502 or 503
)

// unknown reports whether the backend cannot know of the request.
func (r reason) unknown() bool { return r == dialFailed || r == stale }

var reasons = []reason{dialFailed, stale, notSent, timedOut, unresponsive, lost, cut, unavailable}

const (
	// spareTimeout bounds the wait for a spare backend. A request that lost its backend may be retried only there.
	spareTimeout  = 10 * time.Second
	spareInterval = 20 * time.Millisecond
)

var (
	// errTotal ends a request that takes longer than the gateway allows.
	errTotal = errors.New("the request took longer than the gateway allows")
	// errDeadline ends a call of gRPC at the client's deadline.
	errDeadline = errors.New("the deadline of the call has passed")
)

// pastDeadline is the error for a call that its client's deadline has ended.
func pastDeadline(cause error) *apierror.Error {
	return apierror.Wrap(apierror.DeadlineExceeded, cause, "%v", errDeadline)
}

// retrier is the http.RoundTripper that chooses a backend, and another when the first does not respond.
type retrier struct {
	transport    *http.Transport
	calls        *http.Transport // for gRPC
	balancer     *Balancer
	metrics      *metrics
	poison       *poisonTable
	memory       *budget
	lossRetry    chan struct{} // held by the one request that is retried after a loss
	spareTimeout time.Duration
}

// RoundTrip implements http.RoundTripper. The request's context holds its requestContext. Errors are *apierror.Error.
func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	rc := requestContextOf(req.Context())
	if req.Body != nil && rc.messages == nil {
		rc.body = newBody(req.Body, req.ContentLength, t.poison, t.memory)
	}
	if rc.backend = t.balancer.acquire(t.passed(rc)...); rc.backend == nil {
		return nil, apierror.New(apierror.NotReady, "no replica is ready")
	}
	defer func() {
		if rc.lossRetry {
			<-t.lossRetry // the next request may be retried after a loss
			rc.lossRetry = false
		}
	}()
	for {
		try := &attempt{balancer: t.balancer, backend: rc.backend, body: rc.body, messages: rc.messages, last: rc.resent || !repeatable(req.Method)}
		res, err := try.send(t.sender(try), req)
		why := try.outcome(res, err)
		if why == "" || !t.retry(req, rc, why) {
			return t.finish(req.Context(), rc, res, why, err)
		}
		if res != nil {
			_ = res.Body.Close()
		}
		try.cancel(nil)
	}
}

// sender sends an attempt.
func (t *retrier) sender(a *attempt) http.RoundTripper {
	if a.messages == nil {
		return t.transport
	}
	return &callSender{t.calls, a}
}

// passed lists the backends that a request cannot be sent to, or not again.
func (t *retrier) passed(rc *requestContext) []*backend {
	if rc.messages == nil {
		return rc.tried
	}
	return append(t.balancer.withoutGRPC(), rc.tried...)
}

// finish ends a request with the result of its last attempt.
func (t *retrier) finish(ctx context.Context, rc *requestContext, res *http.Response, why reason, err error) (*http.Response, error) {
	if err != nil {
		return nil, t.explain(ctx, rc, why, err)
	}
	if rc.body != nil {
		rc.body.dropReplay()
		if t.poison != nil && res != nil && (rc.messages == nil || res.StatusCode != http.StatusOK) && examined(res.StatusCode) {
			for _, sum := range rc.sums() {
				t.poison.clear(sum)
			}
		}
	}
	if why != "" {
		t.countFailure(rc, why)
	}
	return res, nil
}

// examined reports whether a replica that responds with a status has examined the body. One that is busy, not ready or out of
// time may not have.
func examined(status int) bool {
	return status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout
}

// retry moves the request to another backend, and reports whether there is one. If the failed backend cannot know of the request,
// all others are tried; if it may have run it, one other.
func (t *retrier) retry(req *http.Request, rc *requestContext, why reason) bool {
	ctx := req.Context()
	if ctx.Err() != nil || rc.clientFailed() || !rc.body.replayable() || why == notSent ||
		!why.unknown() && (rc.resent || !repeatable(req.Method)) {
		return false
	}
	failed := rc.backend
	next := t.nextBackend(ctx, rc, why)
	if next == nil && why == stale && slices.Index(rc.tried, failed) == len(rc.tried)-1 && t.balancer.reacquire(failed) {
		next = failed
	}
	if next == nil {
		return false
	}
	if !rc.counted {
		t.countFailure(rc, why)
	}
	rc.counted = false
	t.balancer.release(failed)
	t.metrics.retries.Inc()
	rc.backend, rc.retried = next, true
	rc.resent = rc.resent || !why.unknown()
	return true
}

// repeatable reports whether a request may run twice. Predictions are POSTs without side effects.
func repeatable(method string) bool {
	return method == http.MethodPost || method == http.MethodGet || method == http.MethodHead
}

// nextBackend acquires the backend for the next attempt; nil if there is none.
func (t *retrier) nextBackend(ctx context.Context, rc *requestContext, why reason) *backend {
	rc.tried = append(rc.tried, rc.backend)
	sums := rc.sums()
	if why != lost || len(sums) == 0 {
		return t.balancer.acquire(t.passed(rc)...)
	}
	t.countFailure(rc, why)
	rc.counted = true
	if t.poison != nil && slices.ContainsFunc(sums, t.poison.rejects) {
		return nil
	}
	return t.spareAfterLoss(ctx, rc)
}

// spareAfterLoss acquires another backend for a request whose backend was lost. The body may be to blame, so such requests are
// retried one at a time, and only while at least two other backends are healthy: no body takes the last one. It does not wait if
// no other is healthy.
func (t *retrier) spareAfterLoss(ctx context.Context, rc *requestContext) *backend {
	ctx, cancel := context.WithTimeout(ctx, t.spareTimeout)
	defer cancel()
	if b, none := t.balancer.acquireSpare(t.passed(rc)...); b != nil {
		t.balancer.release(b)
	} else if none {
		return nil
	}
	select {
	case t.lossRetry <- struct{}{}:
		rc.lossRetry = true
	case <-ctx.Done():
		return nil
	}
	ticker := time.NewTicker(spareInterval)
	defer ticker.Stop()
	for {
		if b, _ := t.balancer.acquireSpare(t.passed(rc)...); b != nil {
			return b
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// countFailure records a failure of the request's backend. A backend that was lost cools down, too: a proxy of Docker's may
// still accept connections for it, and it would lose every request that it attracts.
func (t *retrier) countFailure(rc *requestContext, why reason) {
	switch why {
	case dialFailed, lost, unavailable:
		t.balancer.coolDown(rc.backend)
	}
	if rc.predict && (why == lost || why == unresponsive || why == timedOut) {
		t.balancer.record(rc.backend, false)
	}
	if (why == lost || why == unresponsive) && t.poison != nil {
		for _, sum := range rc.sums() {
			t.poison.recordLoss(sum, rc.resent)
		}
	}
	t.metrics.upstream[why].Inc()
}

// explain returns the error for a client whose request got no response, and records the backend's failure.
func (t *retrier) explain(ctx context.Context, rc *requestContext, why reason, err error) error {
	if e := clientError(ctx, rc, err); e != nil {
		return e
	}
	if errors.Is(context.Cause(ctx), errTotal) {
		why = timedOut
	}
	if !rc.counted {
		t.countFailure(rc, why)
	}
	switch why {
	case dialFailed, stale:
		return apierror.Wrap(apierror.NotReady, err, "no replica could be reached; the request was not run and can be sent again")
	case notSent:
		return apierror.Wrap(apierror.Malformed, err, "the request cannot be forwarded")
	case timedOut:
		return apierror.Wrap(apierror.DeadlineExceeded, err, "the replica did not respond in time")
	}
	return apierror.Wrap(apierror.ReplicaLost, err, "the replica was lost before it responded; the request may have run")
}

// clientError returns the error if the client or its body caused it, else nil.
func clientError(ctx context.Context, rc *requestContext, err error) *apierror.Error {
	if rc.body != nil && rc.body.poisoned.Load() {
		return apierror.New(apierror.PoisonRequest, "several replicas failed while processing this body; it is refused temporarily")
	}
	ended := context.Cause(ctx)
	gone := ctx.Err() != nil && !errors.Is(ended, errTotal) && !errors.Is(ended, errDeadline)
	cause := rc.body.readError(gone)
	switch {
	case cause != nil:
		return bodyError(cause, gone)
	case gone:
		return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
	case errors.Is(ended, errDeadline):
		return pastDeadline(err)
	}
	return nil
}
