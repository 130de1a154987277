package gateway

import (
	"context"
	"maps"
	"net/http"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/grpcstatus"
)

// limit returns the context of the call: until the client's deadline, and that of a call of one message no longer than a request.
func (c *call) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	cancel := func() {}
	if !c.stream {
		ctx, cancel = context.WithTimeoutCause(ctx, c.gateway.requestTimeout, errTotal)
	}
	text := c.r.Header.Get(grpcstatus.TimeoutHeader)
	if text == "" {
		return ctx, cancel, nil
	}
	d, ok := grpcstatus.ParseTimeout(text)
	if !ok {
		cancel()
		return nil, nil, apierror.New(apierror.Malformed, "grpc-timeout is %s, not up to 8 digits and one of H, M, S, m, u and n", apierror.Quote(text))
	}
	c.messages.deadline = time.Now().Add(d)
	ctx, cancelDeadline := context.WithDeadlineCause(ctx, c.messages.deadline, errDeadline)
	return ctx, func() { cancelDeadline(); cancel() }, nil
}

// headers returns the headers of an attempt, with the time that is left.
func (m *messages) headers(h http.Header) http.Header {
	if m.deadline.IsZero() {
		return h
	}
	h = maps.Clone(h)
	h[grpcstatus.TimeoutHeader] = []string{grpcstatus.FormatTimeout(time.Until(m.deadline))}
	return h
}
