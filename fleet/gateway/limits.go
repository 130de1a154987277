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

// firstBytes is how much of a body is read before a replica is chosen.
const firstBytes = 512

// limits are those of all requests together.
func (c Config) limits() admission.Limits {
	return admission.Limits{Requests: c.MaxRequests, ClientShare: c.ClientShare, MinRate: int64(c.MinBodyRate)}
}

// admit lets a request in, whose exchange holds its slot from then on.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, x *exchange) error {
	admitted, err := g.admission.Admit(r.RemoteAddr, r.Body, r.ContentLength, g.cfg.BodyTimeout, http.NewResponseController(w), httpserver.Unread(r))
	var full *admission.FullError
	switch {
	case errors.As(err, &full):
		return apierror.New(apierror.GatewayBusy, "%d requests are in flight, and no more are allowed", full.Limit)
	case err != nil:
		return apierror.From(err)
	}
	x.admitted = admitted
	return nil
}

// within returns the request as the proxy gets it, whose body is read by way of its admission. The client's own request
// keeps its body, at which net/http looks when it answers.
func (x *exchange) within(ctx context.Context, r *http.Request) *http.Request {
	inner := r.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	if r.ContentLength != 0 {
		inner.Body = limited{io.MultiReader(bytes.NewReader(x.first), x.admitted), r.Body}
	}
	return inner
}

// begin waits for the first bytes of the body, or all of a shorter one, so that a client that sends next to nothing costs
// no replica anything. Whether one that waits for "100 Continue" is to send them is the replica's to say.
func (x *exchange) begin(r *http.Request) error {
	if r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return nil
	}
	first := make([]byte, firstBytes)
	n, err := 0, error(nil)
	for n < len(first) && err == nil {
		var more int
		more, err = x.admitted.Read(first[n:])
		n += more
	}
	if x.first = first[:n]; err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return bodyFault(err, r.Context().Err() != nil)
}

// limited is a client's body that keeps up the least rate.
type limited struct {
	io.Reader
	io.Closer
}

// bodyFault is the fault of a body that did not arrive whole. Gone tells whether its client is; on HTTP/2 the error does not.
func bodyFault(cause error, gone bool) *apierror.Error {
	var slow *admission.SlowError
	var op net.Error
	switch {
	case errors.Is(cause, admission.ErrDisplaced):
		return apierror.Wrap(apierror.BodyDisplaced, cause, "the gateway is busy, and this body was the slowest to arrive")
	case errors.As(cause, &slow):
		return apierror.Wrap(apierror.BodyTimeout, cause, "the body arrived at less than %d bytes a second", slow.Rate)
	case errors.As(cause, &op) && op.Timeout():
		return apierror.Wrap(apierror.BodyTimeout, cause, "the body did not arrive in time")
	case gone, errors.As(cause, &op), errors.Is(cause, io.ErrUnexpectedEOF):
		return apierror.Wrap(apierror.Canceled, cause, "the client went away")
	}
	return apierror.Wrap(apierror.Malformed, cause, "the body cannot be read")
}
