package api

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"fovea/health"
	"fovea/inference"
	"fovea/internal/admission"
	"fovea/internal/cors"
	"fovea/internal/httpserver"

	"github.com/gin-gonic/gin"
)

// Engine is what answers. It is safe for concurrent use.
type Engine interface {
	// Predict answers one image; it keeps no reference to its bytes after it returned.
	Predict(context.Context, inference.Request) (*inference.Response, error)
	Models() []inference.Status
	Default() string // "" when there is none
}

// Health is what says whether the server can serve.
type Health interface {
	Report() health.Report
}

// Server is Fovea over HTTP.
type Server struct {
	cfg       Config
	engine    Engine
	health    Health
	metrics   *Metrics
	log       *slog.Logger
	catalog   catalog
	admission *admission.Controller
	readAhead *readAhead
	router    *gin.Engine
	http      *http.Server
	draining  atomic.Bool
}

const (
	idlePoll = 10 * time.Millisecond // how often Shutdown looks whether all is answered
	slack    = 10 * time.Second      // for what the configured times don't count: headers, writing the answer
)

// New makes a server that listens nowhere yet. The configuration must be valid.
func New(cfg Config, engine Engine, health Health, metrics *Metrics, log *slog.Logger) *Server {
	s := &Server{
		cfg: cfg, engine: engine, health: health, metrics: metrics, log: log,
		catalog:   catalog{engine: engine},
		admission: admission.New(cfg.limits()),
		readAhead: newReadAhead(cfg.readAhead()),
	}
	s.router = s.routes()
	pages, _ := cors.Parse(cfg.CORS) // the configuration is valid
	s.http = httpserver.New(pages.Handler(s.router, forPages), cfg.BodyTimeout+slack, cfg.BodyTimeout+cfg.Timeout+slack, log)
	metrics.watch(engine, s.admission)
	return s
}

// forPages says whether web pages of other origins may ask for a path: all but what only a monitor reads.
func forPages(path string) bool { return path != "/metrics" }

// Serve answers on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (s *Server) Serve(l net.Listener) error {
	return httpserver.Serve(s.http, l)
}

// Drain asks clients to leave: each answer from now on closes its connection, so that the next request goes to
// another server. Requests are still taken.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown refuses further requests for predictions and waits for those in flight, as long as ctx allows; those that
// are left then are cut off. The listener is closed last, so that until then a client is told what happens.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.admission.Close()
	for s.admission.Requests() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(idlePoll):
		}
	}
	if err := s.http.Shutdown(ctx); err != nil {
		n := s.admission.Requests()
		_ = s.http.Close() // what matters is said already
		return fmt.Errorf("%d requests were cut off: %w", n, err)
	}
	return nil
}
