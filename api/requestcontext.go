package api

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"fovea/internal/access"
	"fovea/internal/apierror"
	"fovea/internal/requestid"
	"fovea/internal/tracing"

	"github.com/gin-gonic/gin"
)

const requestIDHeader = "X-Request-Id" // the canonical form of X-Request-ID

// requestContext collects what the log line and the metrics of one request need.
type requestContext struct {
	id      string
	start   time.Time
	client  *access.Client
	model   string // that exists, or ""
	version string // that made the predictions, or ""
	code    apierror.Code
	status  int   // overrides the status of the response; 0: does not
	bytes   int64 // received of the body
	images  int
	predict bool // a request for predictions, which the metrics count
	quiet   bool // sent often by machines: logged at debug level
	span    *tracing.Span
	denied  bool // refused for its rate or key: logged at debug level, since a client can send any number
	v2      bool // errors have the form of the Open Inference Protocol
}

// route wraps a handler with what every request has: an ID, a log line, metrics, and recovery from panics.
func (s *Server) route(handle func(*gin.Context, *requestContext)) gin.HandlerFunc {
	return func(c *gin.Context) {
		rc := &requestContext{id: requestid.Of(c.GetHeader(requestIDHeader)), start: time.Now(), v2: isV2(c.Request.URL.Path)}
		c.Header(requestIDHeader, rc.id)
		if s.draining.Load() {
			c.Header("Connection", "close")
		}
		client, leave, err := s.guard.Enter(access.RouteOf(c.Request), access.CallerOf(c.Request))
		defer leave()
		rc.client = client
		if c.Request.Method == http.MethodPost && (err == nil || client.Key() != "") { // neither what machines poll, nor what anyone can send
			c.Request, rc.span = s.tracer.Start(c.Request, c.FullPath())
		}
		defer s.finish(c, rc)
		defer s.recoverPanic(c, rc)
		if err != nil {
			s.deny(c, rc, err)
			return
		}
		handle(c, rc)
	}
}

// recoverPanic turns a panic into a 500, logged once with its stack. http.ErrAbortHandler is passed on to net/http.
func (s *Server) recoverPanic(c *gin.Context, rc *requestContext) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it by identity too
		panic(p)
	}
	s.log.Error("panic", "request_id", rc.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if c.Writer.Written() {
		rc.code, rc.status = apierror.Internal, http.StatusInternalServerError
		panic(http.ErrAbortHandler) // the client must not mistake the response for a complete one
	}
	s.fail(c, rc, apierror.New(apierror.Internal, "internal error"))
}

func (s *Server) finish(c *gin.Context, rc *requestContext) {
	if rc.status == 0 {
		rc.status = c.Writer.Status()
	}
	if rc.predict {
		s.metrics.request(rc)
	}
	rc.span.End(rc.status, string(rc.code), slog.String("fovea.request_id", rc.id), slog.String("fovea.model", rc.model),
		slog.String("fovea.version", rc.version), slog.Int("fovea.images", rc.images), slog.Int64("http.request.body.size", rc.bytes))
	s.guard.Count(rc.client, rc.status)
	level := slog.LevelInfo
	if rc.denied || rc.quiet && rc.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	ctx := c.Request.Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 13),
		slog.String("request_id", rc.id),
		slog.String("method", c.Request.Method),
		slog.String("route", cmp.Or(c.FullPath(), "none")),
		slog.Int("status", rc.status),
		slog.Duration("duration", time.Since(rc.start)),
		slog.String("client", rc.client.Address.String()),
		slog.Int64("bytes_in", rc.bytes),
		slog.Int("bytes_out", max(0, c.Writer.Size())))
	if key := rc.client.Key(); key != "" {
		attrs = append(attrs, slog.String("key", key))
	}
	if rc.code != "" {
		attrs = append(attrs, slog.String("code", string(rc.code)))
	}
	if rc.predict {
		attrs = append(attrs, slog.String("model", rc.model), slog.String("version", rc.version), slog.Int("images", rc.images))
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}
