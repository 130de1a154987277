package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"
)

// firstBytes is how much of a body is read before a backend is chosen.
const firstBytes = 512

func (c Config) admissionLimits() admission.Limits {
	return admission.Limits{Requests: c.MaxRequests, ClientShare: c.ClientShare, MinRate: int64(c.MinBodyRate)}
}

// admit admits a request, or returns the error to respond with.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, rc *requestContext) error {
	admitted, err := g.admission.Admit(rc.client.ID, r.Body, r.ContentLength, g.cfg.BodyTimeout, http.NewResponseController(w), httpserver.Unread(r))
	if full, ok := errors.AsType[*admission.FullError](err); ok {
		return busy(full)
	}
	if err != nil {
		return err
	}
	rc.admitted = admitted
	return nil
}

// busy is the error for a request that the gateway has no room for.
func busy(full *admission.FullError) error {
	return apierror.New(apierror.GatewayBusy, "the limit of %d requests in flight is reached", full.Limit)
}

// forProxy returns the request for the proxy, whose body is read through its admission. The client's own request keeps its body,
// which net/http inspects when it responds.
func (rc *requestContext) forProxy(ctx context.Context, r *http.Request) *http.Request {
	inner := r.WithContext(context.WithValue(ctx, requestContextKey{}, rc))
	if r.ContentLength != 0 {
		inner.Body = admittedBody{io.MultiReader(bytes.NewReader(rc.first), rc.admitted), r.Body}
	}
	return inner
}

// readFirstBytes waits for the first bytes of the body, or all of a shorter one, so that a client that sends next to nothing
// occupies no backend. With "Expect: 100-continue" the replica decides whether the body is sent.
func (rc *requestContext) readFirstBytes(r *http.Request) error {
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return nil
	}
	var err error
	if rc.first, err = io.ReadAll(io.LimitReader(rc.admitted, firstBytes)); err != nil {
		return bodyError(err, r.Context().Err() != nil)
	}
	return nil
}

// admittedBody is a client's body, read through its admission.
type admittedBody struct {
	io.Reader
	io.Closer
}

// bodyError is the error for a body that did not arrive completely. gone means that the client disconnected, which on HTTP/2 the
// cause does not show.
func bodyError(cause error, gone bool) *apierror.Error {
	slow, isSlow := errors.AsType[*admission.SlowError](cause)
	op, isNet := errors.AsType[net.Error](cause)
	known, isKnown := errors.AsType[*apierror.Error](cause)
	switch {
	case isKnown:
		return known
	case errors.Is(cause, admission.ErrDisplaced):
		return apierror.Wrap(apierror.BodyDisplaced, cause, "the gateway is busy, and this body arrived the slowest")
	case isSlow:
		return apierror.Wrap(apierror.BodyTimeout, cause, "the body arrived at less than %d bytes per second", slow.Rate)
	case isNet && op.Timeout():
		return apierror.Wrap(apierror.BodyTimeout, cause, "the body did not arrive in time")
	case gone, isNet, errors.Is(cause, io.ErrUnexpectedEOF):
		return apierror.Wrap(apierror.Canceled, cause, "the client disconnected")
	}
	return apierror.Wrap(apierror.Malformed, cause, "the body cannot be read")
}
