package api

import (
	"context"
	"fmt"
	"image"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/cgroup"
	"fovea/internal/cors"
	"fovea/internal/httpserver"
	"fovea/internal/imageurl"
	"fovea/internal/tracing"
	v2 "fovea/internal/v2"

	"github.com/gin-gonic/gin"
)

// Engine makes predictions. It is safe for concurrent use.
type Engine interface {
	// Predict makes a prediction for one image. It keeps no reference to its bytes after it has returned.
	Predict(context.Context, inference.Request) (*inference.Response, error)
	// Decode decodes an image to draw on it.
	Decode(ctx context.Context, data []byte, maxSide int, use func(img *image.RGBA, scale float64) error) error
	Models() []inference.Status
	Default() string // of several models: "" if none is configured as the default
}

// Health reports whether the server is live and ready.
type Health interface {
	Report() health.Report
}

// Server is the HTTP API of an Engine.
type Server struct {
	cfg       Config
	guard     *access.Guard
	engine    Engine
	health    Health
	metrics   *Metrics
	log       *slog.Logger
	catalog   catalog
	admission *admission.Controller
	readAhead *readAhead
	fetcher   *imageurl.Fetcher
	tracer    *tracing.Tracer // nil: none
	router    *gin.Engine
	http      *http.Server
	draining  atomic.Bool
	v2        *v2.Server // nil: not enabled
}

const (
	drainPoll = 10 * time.Millisecond // interval at which Shutdown checks for requests in flight
	slack     = 10 * time.Second      // for what the configured times do not include: headers, writing the response
)

// New returns a server that does not listen yet. The configuration must be valid, and the guard that of its access.Config.
func New(cfg Config, guard *access.Guard, engine Engine, health Health, metrics *Metrics, log *slog.Logger) *Server {
	s := &Server{
		cfg: cfg, guard: guard, engine: engine, health: health, metrics: metrics, log: log,
		catalog:   catalog{engine: engine},
		admission: admission.New(cfg.limits()),
		readAhead: newReadAhead(cfg.readAhead()),
		fetcher:   imageurl.New(cfg.ImageURLs),
	}
	s.router = s.routes()
	policy, _ := cors.Parse(cfg.CORS) // the configuration is valid
	s.http = httpserver.New(policy.Handler(s.router), cfg.BodyTimeout+slack, cfg.BodyTimeout+cfg.Timeout+slack, log)
	if cfg.NoH2C && !cfg.TLS.Enabled() {
		httpserver.RefuseH2C(s.http)
	}
	metrics.watch(engine, s.admission)
	metrics.registry.MustRegister(guard)
	return s
}

// limits are those of all requests for predictions together.
func (c Config) limits() admission.Limits {
	return admission.Limits{Requests: c.MaxRequests, Bytes: c.bodyBudget(cgroup.MemoryLimit()), ClientShare: c.ClientShare, MinRate: int64(c.MinBodyRate)}
}

// Trace has the server trace requests for predictions. It is called before Serve.
func (s *Server) Trace(t *tracing.Tracer) { s.tracer = t }

// Admission is what admits requests. Other protocols of the server share it.
func (s *Server) Admission() *admission.Controller { return s.admission }

// Serve serves on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	return httpserver.Serve(s.http, l)
}

// Drain makes each further response close its connection, so that clients send the next request to another server. Requests
// are still accepted.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown refuses further requests for predictions and waits for those in flight until ctx ends, when the remaining ones are
// aborted. The listener is closed last, so that until then clients get a response.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.admission.Close()
	defer s.fetcher.Close()
	for s.admission.Requests() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(drainPoll):
		}
	}
	if err := s.http.Shutdown(ctx); err != nil {
		n := s.admission.Requests()
		_ = s.http.Close() // the error of Shutdown is returned
		return fmt.Errorf("%d requests were cut off: %w", n, err)
	}
	return nil
}
