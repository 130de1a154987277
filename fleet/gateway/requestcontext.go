package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/apierror"
	"fovea/internal/tracing"
)

const requestIDHeader = "X-Request-Id"

// requestContext is the state of one proxied request.
type requestContext struct {
	id        string
	start     time.Time
	client    *access.Client
	backend   *backend   // acquired; nil: none
	body      *body      // nil: none
	messages  *messages  // of a call of gRPC; nil: HTTP
	tried     []*backend // before backend
	retried   bool
	resent    bool // an earlier backend may have run it
	lossRetry bool // it holds the retrier's lossRetry
	counted   bool // the backend's failure is recorded
	predict   bool // a POST, whose outcome counts for or against the backend
	http2     bool // on the client's side
	tallied   bool // the messages of a stream were counted for its key, instead of itself
	judged    bool // its outcome is recorded, or says nothing about the backend
	denied    bool // refused for its rate or key: logged at debug level, since a client can send any number
	admitted  *admission.Body
	span      *tracing.Span
	first     []byte // of the body, read before a backend was chosen
	err       *apierror.Error
	status    int // overrides the written status in logs and metrics; 0: as written
}

type requestContextKey struct{}

func requestContextOf(ctx context.Context) *requestContext {
	rc, ok := ctx.Value(requestContextKey{}).(*requestContext)
	if !ok {
		panic("gateway: request without its context") // the handler is the only way in
	}
	return rc
}

// sums are the hashes of the bodies, or messages, that the backend may be working on: those that it has whole.
func (rc *requestContext) sums() []uint64 {
	switch {
	case rc.messages != nil:
		return rc.messages.sums()
	case rc.body != nil && rc.body.complete.Load():
		return []uint64{rc.body.sum.Load()}
	}
	return nil
}

// clientFailed reports whether the client or its body rules out another attempt.
func (rc *requestContext) clientFailed() bool {
	return rc.body != nil && (rc.body.poisoned.Load() || rc.body.incomplete.Load())
}

// seal stops all reading of the request's body by attempts.
func (rc *requestContext) seal(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	if rc.body != nil {
		rc.body.seal(func() error {
			if rc.admitted.Arrived() {
				return nil // net/http waits for the client to disconnect: an expired deadline would look like that.
			}
			return control.SetReadDeadline(time.Unix(1, 0))
		})
	}
	if rc.admitted.Arrived() {
		_ = control.SetReadDeadline(time.Time{}) // fails if the connection is gone
	}
}

// responseWriter is the client's side of a request; it notes what was written.
type responseWriter struct {
	http.ResponseWriter
	rc     *requestContext
	ended  bool // the handler wrote the whole response
	status int
	bytes  int64
	err    error // of the first failed write
}

// WriteHeader implements http.ResponseWriter.
func (w *responseWriter) WriteHeader(status int) {
	if status >= http.StatusOK && w.status == 0 {
		w.status = status
		if rc := w.rc; !rc.http2 && rc.admitted != nil && !rc.admitted.Arrived() {
			// The rest of the body may never come, and must not be taken for the next request.
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// lingerTimeout bounds how long the rest of a body is read after an early response. A connection that is closed while its
// client still sends is reset, and the client may lose the response; so does curl before 8 on HTTP/2, where the stream is reset.
const lingerTimeout = time.Second

// linger reads the rest of the body after an early response. On HTTP/1 the response is sent first. On HTTP/2 some clients stop
// sending once it has begun and wait for its end, so the gateway's own errors wait for the body, and nothing is read after a
// replica's response, since replicas read the rest themselves.
func (w *responseWriter) linger(r *http.Request, timeout time.Duration) {
	rc := w.rc
	if !w.ended || rc.admitted == nil || rc.admitted.Arrived() || rc.http2 && rc.err == nil {
		return
	}
	control := http.NewResponseController(w.ResponseWriter)
	err := control.SetReadDeadline(time.Now().Add(timeout))
	if !rc.http2 {
		err = errors.Join(err, control.Flush())
	}
	if err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// finish releases the backend, and writes the metrics and the log line. It also runs when the response was cut off by
// http.ErrAbortHandler.
func (g *Gateway) finish(r *http.Request, w *responseWriter, rc *requestContext) {
	if !w.ended {
		g.explainAbort(r, w, rc)
	}
	if rc.status == 0 {
		rc.status = w.status
	}
	g.conclude(r, rc, slog.String("method", r.Method), w.bytes)
}

// conclude is the end of every request and call.
func (g *Gateway) conclude(r *http.Request, rc *requestContext, method slog.Attr, bytes int64) {
	replica := "none"
	if rc.backend != nil {
		replica = rc.backend.id
	}
	duration := time.Since(rc.start)
	if !rc.tallied {
		g.protection.Guard.Count(rc.client, rc.status)
	}
	g.recordOutcome(rc)
	rc.endSpan(replica)
	g.metrics.requests.WithLabelValues(replica, strconv.Itoa(rc.status)).Inc()
	g.metrics.duration.WithLabelValues(replica).Observe(duration.Seconds())
	g.logRequest(r, rc, method, bytes, replica, duration)
	if rc.backend != nil {
		g.balancer.release(rc.backend)
	}
}

func (rc *requestContext) endSpan(replica string) {
	code := ""
	if rc.err != nil {
		code = string(rc.err.Code)
	}
	rc.span.End(rc.status, code, slog.String("fovea.request_id", rc.id), slog.String("fovea.replica", replica),
		slog.Bool("fovea.retried", rc.retried), slog.Int("fovea.attempts", len(rc.tried)+1))
}

// recordOutcome counts a prediction's outcome for or against its backend. Errors of the gateway were counted when they occurred.
func (g *Gateway) recordOutcome(rc *requestContext) {
	switch {
	case rc.backend == nil || !rc.predict || rc.judged || rc.err != nil && rc.err.Code != apierror.ResponseCut:
	case rc.status >= http.StatusOK && rc.status < http.StatusMultipleChoices:
		g.balancer.record(rc.backend, true)
	case rc.status == http.StatusInternalServerError || rc.status == http.StatusBadGateway || rc.status == http.StatusGatewayTimeout:
		g.balancer.record(rc.backend, false)
	}
}

// explainAbort decides which side ended a response that had begun.
func (g *Gateway) explainAbort(r *http.Request, w *responseWriter, rc *requestContext) {
	switch {
	case rc.err != nil: // known already
	case w.err != nil || r.Context().Err() != nil:
		rc.err, rc.status = apierror.New(apierror.Canceled, "the client disconnected"), apierror.StatusClientClosedRequest
	default:
		g.metrics.upstream[cut].Inc()
		rc.err = apierror.New(apierror.ResponseCut, "the replica was lost while it responded")
		rc.status = apierror.ResponseCut.Status()
	}
}

func (g *Gateway) logRequest(r *http.Request, rc *requestContext, method slog.Attr, bytes int64, replica string, duration time.Duration) {
	level := slog.LevelInfo
	if rc.denied {
		level = slog.LevelDebug
	} else if rc.err != nil && rc.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	ctx := r.Context()
	if !g.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 13)
	attrs = append(attrs,
		slog.String("request_id", rc.id),
		method,
		slog.String("path", r.URL.Path),
		slog.Int("status", rc.status),
		slog.Duration("duration", duration),
		slog.String("client", rc.client.Address.String()),
		slog.String("replica", replica),
		slog.Int64("bytes_out", bytes),
	)
	if key := rc.client.Key(); key != "" {
		attrs = append(attrs, slog.String("key", key))
	}
	if rc.retried {
		attrs = append(attrs, slog.Bool("retried", true))
	}
	if rc.err != nil {
		attrs = append(attrs, slog.String("code", string(rc.err.Code)), slog.String("error", rc.err.Error()))
	}
	g.log.LogAttrs(ctx, level, "request", attrs...)
}
