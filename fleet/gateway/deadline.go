package gateway

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"time"

	"fovea/internal/apierror"
)

const timeoutHeader = "Grpc-Timeout"

// limit returns the context of the call: until the client's deadline, and that of a call of one message no longer than a request.
func (c *call) limit(ctx context.Context) (context.Context, context.CancelFunc, error) {
	cancel := func() {}
	if !c.stream {
		ctx, cancel = context.WithTimeoutCause(ctx, c.gateway.requestTimeout, errTotal)
	}
	text := c.r.Header.Get(timeoutHeader)
	if text == "" {
		return ctx, cancel, nil
	}
	d, ok := parseTimeout(text)
	if !ok {
		cancel()
		return nil, nil, apierror.New(apierror.Malformed, "grpc-timeout is %s, not up to 8 digits and one of H, M, S, m, u and n", apierror.Quote(text))
	}
	c.messages.deadline = time.Now().Add(d)
	ctx, cancelDeadline := context.WithDeadlineCause(ctx, c.messages.deadline, errDeadline)
	return ctx, func() { cancelDeadline(); cancel() }, nil
}

// timeoutUnits are those of grpc-timeout (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
var timeoutUnits = map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}

func parseTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	unit, ok := timeoutUnits[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	if !ok || err != nil {
		return 0, false
	}
	if limit := uint64(1<<63-1) / uint64(unit); n > limit { // 11,415 years
		n = limit
	}
	return time.Duration(n) * unit, true
}

// formatTimeout rounds up, so that the replica does not end a call before its client does.
func formatTimeout(d time.Duration) string {
	d = max(d, 0)
	const most = 99_999_999
	for _, unit := range "num" {
		if n := (d + timeoutUnits[byte(unit)] - 1) / timeoutUnits[byte(unit)]; n <= most {
			return strconv.FormatInt(int64(n), 10) + string(unit)
		}
	}
	return strconv.FormatInt(int64(min(d/time.Second, most)), 10) + "S"
}

// headers returns the headers of an attempt, with the time that is left.
func (m *messages) headers(h http.Header) http.Header {
	if m.deadline.IsZero() {
		return h
	}
	h = maps.Clone(h)
	h[timeoutHeader] = []string{formatTimeout(time.Until(m.deadline))}
	return h
}
