package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/requestid"

	"github.com/gin-gonic/gin"
)

const requestIDHeader = "X-Request-Id" // as net/http writes X-Request-ID, so that it need not be rewritten

// exchange is what is known of one request, for its log line and its metrics.
type exchange struct {
	id      string
	start   time.Time
	model   string // a model that exists, or ""
	version string // the version that answered, or ""
	code    apierror.Code
	status  int   // overrides the status that was written; 0: as written
	bytes   int64 // of the body, as received
	images  int
	predict bool // counted by the metrics of requests
	quiet   bool // asked often by machines: logged at debug level
}

// route wraps a handler with all that every request has: an id, a log line, metrics, and a net for panics.
func (s *Server) route(handle func(*gin.Context, *exchange)) gin.HandlerFunc {
	return func(c *gin.Context) {
		x := &exchange{id: requestid.Of(c.GetHeader(requestIDHeader)), start: time.Now()}
		c.Header(requestIDHeader, x.id)
		if s.draining.Load() {
			c.Header("Connection", "close")
		}
		defer s.finish(c, x)
		defer s.rescue(c, x)
		handle(c, x)
	}
}

// rescue turns a panic into a 500, logged once with its stack. http.ErrAbortHandler goes on, as net/http wants.
func (s *Server) rescue(c *gin.Context, x *exchange) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it by identity too
		panic(p)
	}
	s.log.Error("panic", "request_id", x.id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if c.Writer.Written() {
		x.code, x.status = apierror.Internal, http.StatusInternalServerError
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
	s.fail(c, x, apierror.New(apierror.Internal, "internal error"))
}

func (s *Server) finish(c *gin.Context, x *exchange) {
	if x.status == 0 {
		x.status = c.Writer.Status()
	}
	if x.predict {
		s.metrics.request(x)
	}
	s.logRequest(c, x)
}

func (s *Server) logRequest(c *gin.Context, x *exchange) {
	level := slog.LevelInfo
	if x.quiet && x.status < http.StatusBadRequest {
		level = slog.LevelDebug
	}
	ctx := c.Request.Context()
	if !s.log.Enabled(ctx, level) {
		return
	}
	route := c.FullPath()
	if route == "" {
		route = "none"
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("request_id", x.id),
		slog.String("method", c.Request.Method),
		slog.String("route", route),
		slog.Int("status", x.status),
		slog.Duration("duration", time.Since(x.start)),
		slog.String("client", c.ClientIP()),
		slog.Int64("bytes_in", x.bytes),
		slog.Int("bytes_out", max(0, c.Writer.Size())))
	if x.code != "" {
		attrs = append(attrs, slog.String("code", string(x.code)))
	}
	if x.predict {
		attrs = append(attrs, slog.String("model", x.model), slog.String("version", x.version), slog.Int("images", x.images))
	}
	s.log.LogAttrs(ctx, level, "request", attrs...)
}
