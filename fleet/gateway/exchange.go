package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"fovea/internal/admission"
	"fovea/internal/apierror"
)

const requestIDHeader = "X-Request-Id"

// exchange is what is known of one request that is passed on.
type exchange struct {
	id       string
	start    time.Time
	replica  *member   // whose place is taken; nil: none
	body     *body     // nil: none
	tried    []*member // before replica
	retried  bool
	resent   bool // another replica may have run it before
	suspect  bool // it is tried again after a loss
	counted  bool // the replica's failure is in the metrics
	predict  bool // it asks for a prediction, so that how it ends tells of the replica
	http2    bool // on the client's side
	admitted *admission.Body
	first    []byte // of the body, read before a replica was chosen
	fault    *apierror.Error
	status   int // overrides the status that was written; 0: as written
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, ok := ctx.Value(exchangeKey{}).(*exchange)
	if !ok {
		panic("gateway: a request without its exchange") // the handler is the only way in
	}
	return x
}

// clientFailed says whether the body cannot be sent a second time because of the client or of what it sent.
func (x *exchange) clientFailed() bool {
	return x.body != nil && (x.body.refused.Load() || x.body.broken.Load())
}

// failed notes that the replica failed the request.
func (x *exchange) failed(p *Pool) {
	if x.predict {
		p.answered(x.replica, false)
	}
}

// fence ends all reading of the request's body on behalf of replicas.
func (x *exchange) fence(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	if x.body != nil {
		x.body.fence(func() error { return control.SetReadDeadline(time.Unix(1, 0)) })
	}
	if x.admitted.Arrived() {
		_ = control.SetReadDeadline(time.Time{}) // fails where there is no connection any more
	}
}

// answer is the client's side of an exchange; it notes what was written.
type answer struct {
	http.ResponseWriter
	exchange *exchange
	ended    bool // all of it was given to net/http
	status   int
	bytes    int64
	err      error // the first failed write
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK && a.status == 0 {
		a.status = status
		if x := a.exchange; !x.http2 && x.admitted != nil && !x.admitted.Arrived() {
			// The rest of the body may never come, and must not be taken for the next request.
			a.Header().Set("Connection", "close")
		}
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	if err != nil && a.err == nil {
		a.err = err
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// linger is how long the rest of a body is read behind its answer. A connection that is closed while its client still sends is
// reset, and the client may lose the answer; so does curl before 8 on HTTP/2, where the stream is reset.
const linger = time.Second

// drain reads on for a moment where an answer came before the whole body. On HTTP/1 the answer is sent first. On HTTP/2 some
// clients send no more once it has begun, and wait for its end: the gateway's own answers wait, and behind a replica's nothing is
// read, as a replica reads on itself.
func (a *answer) drain(r *http.Request) {
	x := a.exchange
	if !a.ended || x.admitted == nil || x.admitted.Arrived() || x.http2 && x.fault == nil {
		return
	}
	control := http.NewResponseController(a.ResponseWriter)
	err := control.SetReadDeadline(time.Now().Add(linger))
	if !x.http2 {
		err = errors.Join(err, control.Flush())
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// finish gives the replica's place back, and writes the metrics and the log line. It runs also when the answer was
// cut, which http.ErrAbortHandler tells net/http.
func (g *Gateway) finish(r *http.Request, w *answer, x *exchange) {
	if !w.ended {
		g.aborted(r, w, x)
	}
	if x.status == 0 {
		x.status = w.status
	}
	replica := "none"
	if x.replica != nil {
		replica = x.replica.id
	}
	duration := time.Since(x.start)
	g.judge(x)
	g.metrics.requests.WithLabelValues(replica, strconv.Itoa(x.status)).Inc()
	g.metrics.duration.WithLabelValues(replica).Observe(duration.Seconds())
	g.logRequest(r, w, x, replica, duration)
	if x.replica != nil {
		g.pool.release(x.replica)
	}
}

// judge notes what an answer tells of its replica. A fault that the gateway answers was counted when it was found.
func (g *Gateway) judge(x *exchange) {
	switch {
	case x.replica == nil || !x.predict || x.fault != nil && x.fault.Code != apierror.ResponseCut:
	case x.status >= http.StatusOK && x.status < http.StatusMultipleChoices:
		g.pool.answered(x.replica, true)
	case x.status == http.StatusInternalServerError || x.status == http.StatusBadGateway || x.status == http.StatusGatewayTimeout:
		g.pool.answered(x.replica, false)
	}
}

// aborted finds out who ended an answer that had begun.
func (g *Gateway) aborted(r *http.Request, w *answer, x *exchange) {
	switch {
	case x.fault != nil: // known already
	case w.err != nil || r.Context().Err() != nil:
		x.fault, x.status = apierror.New(apierror.Canceled, "the client went away"), apierror.StatusClientClosedRequest
	default:
		g.metrics.upstream[cut].Inc()
		x.fault = apierror.New(apierror.ResponseCut, "the replica was lost within its answer")
		x.status = apierror.ResponseCut.Status()
	}
}

func (g *Gateway) logRequest(r *http.Request, w *answer, x *exchange, replica string, duration time.Duration) {
	level := slog.LevelInfo
	if x.fault != nil && x.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	ctx := r.Context()
	if !g.log.Enabled(ctx, level) {
		return
	}
	client, _, _ := net.SplitHostPort(r.RemoteAddr) // "" is as good as what cannot be read
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("request_id", x.id),
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", x.status),
		slog.Duration("duration", duration),
		slog.String("client", client),
		slog.String("replica", replica),
		slog.Int64("bytes_out", w.bytes),
	)
	if x.retried {
		attrs = append(attrs, slog.Bool("retried", true))
	}
	if x.fault != nil {
		attrs = append(attrs, slog.String("code", string(x.fault.Code)), slog.String("error", x.fault.Error()))
	}
	g.log.LogAttrs(ctx, level, "request", attrs...)
}
