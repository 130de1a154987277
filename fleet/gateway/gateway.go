package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fovea/internal/access"
	"fovea/internal/admission"
	"fovea/internal/cors"
	"fovea/internal/httpserver"
	"fovea/internal/tracing"
)

const (
	expectTimeout = time.Second      // for a replica's 100 Continue, after which the body is sent without it
	slack         = 10 * time.Second // for what the configured timeouts do not cover: headers, reading the response
)

// Gateway forwards requests to the backends of its load balancer.
type Gateway struct {
	cfg            Config
	requestTimeout time.Duration // from a request's headers to the end of its response
	lingerTimeout  time.Duration
	balancer       *Balancer
	metrics        *metrics
	poison         *poisonTable // nil: no body is ever rejected
	log            *slog.Logger
	protection     *access.Protection
	admission      *admission.Controller
	inFlight       atomic.Int64 // including those whose response is being read, which hold no admission
	draining       atomic.Bool
	drained        context.Context // ends when the gateway begins to drain
	drain          context.CancelFunc
	conns          connTracker
	routes         map[string]http.Handler
	proxy          http.Handler
	cors           cors.Policy     // replaces the replicas' own
	tracer         *tracing.Tracer // nil: none
	retrier        *retrier
	upstream       *http.Transport
	http           *http.Server
	calls          *callServer
	probes         *http.Transport
	watchOnce      sync.Once
	watchCtx       context.Context // ends with Shutdown
	stopWatch      context.CancelFunc
	watching       sync.WaitGroup
}

// New makes a gateway without listeners and replicas, and reads its certificates and API keys. The configuration must be valid.
func New(cfg Config, log *slog.Logger) (*Gateway, error) {
	protection, err := access.OpenProtection("gateway", cfg.Access, cfg.TLS, log)
	if err != nil {
		return nil, err
	}
	m := newMetrics()
	m.registry.MustRegister(protection.Guard)
	g := &Gateway{cfg: cfg, protection: protection, requestTimeout: cfg.BodyTimeout + cfg.ResponseTimeout + slack,
		lingerTimeout: lingerTimeout, metrics: m, log: log,
		poison: newPoisonTable(cfg, time.Now), upstream: transport(cfg), probes: probeTransport(cfg)}
	g.watchCtx, g.stopWatch = context.WithCancel(context.Background())
	g.drained, g.drain = context.WithCancel(context.Background())
	g.admission = admission.New(cfg.admissionLimits())
	g.balancer = newBalancer(time.Now, func(id string) { m.retire(id, g.balancer.known) })
	m.registry.MustRegister(backendCollector{g.balancer})
	g.calls = g.newCallServer()
	g.retrier = &retrier{
		transport: g.upstream, calls: g.calls.upstream, balancer: g.balancer, metrics: m, poison: g.poison, memory: &budget{limit: int64(cfg.ReplayMemory)},
		lossRetry: make(chan struct{}, 1), spareTimeout: spareTimeout,
	}
	g.proxy = g.reverseProxy(g.retrier)
	g.routes = g.ownRoutes()
	g.cors, _ = cors.Parse(cfg.CORS) // the configuration is valid
	g.http = httpserver.New(g.cors.Handler(g), cfg.BodyTimeout, g.requestTimeout+slack, log)
	g.conns.Connections = httpserver.Watch(g.http)
	return g, nil
}

// transport connects to replicas directly, and changes no bodies.
func transport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer(cfg.DialTimeout),
		DisableCompression:     true,
		MaxIdleConnsPerHost:    int(cfg.MaxRequests),
		IdleConnTimeout:        cfg.IdleTimeout,
		ResponseHeaderTimeout:  cfg.ResponseTimeout,
		ExpectContinueTimeout:  expectTimeout,
		MaxResponseHeaderBytes: httpserver.MaxHeaderBytes,
	}
}

// Balancer returns the load balancer, which decides which replicas get requests.
func (g *Gateway) Balancer() *Balancer { return g.balancer }

// Trace has the gateway trace requests for predictions. It is called before Serve.
func (g *Gateway) Trace(t *tracing.Tracer) { g.tracer = t }

// Serve serves on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (g *Gateway) Serve(l net.Listener) error { return g.serve(l, g.http, &g.conns) }

// startWatching watches what changes while the gateway runs, until Shutdown.
func (g *Gateway) startWatching() {
	g.watching.Go(func() { g.watch(g.watchCtx) })
	g.watching.Go(func() { g.protection.Watch(g.watchCtx) })
}

// Drain turns /ready to 503, so that a load balancer in front sends requests elsewhere, and closes each connection with its
// next response. Requests are still taken. Streams of gRPC end once the messages that were received are answered.
func (g *Gateway) Drain() {
	g.draining.Store(true)
	g.drain()
}

// Shutdown drains the gateway, closes its listeners and waits for the requests in flight as long as ctx allows, then cuts off
// the others. Connections to replicas are closed.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.Drain()
	defer g.balancer.closeCalls()
	defer g.upstream.CloseIdleConnections()
	defer g.watching.Wait()
	defer g.stopWatch()
	var both sync.WaitGroup
	both.Go(func() { g.calls.conns.drain(ctx) })
	g.conns.drain(ctx)
	both.Wait()
	if err := errors.Join(shutdown(ctx, g.http), shutdown(ctx, g.calls.http)); err != nil {
		n := g.inFlight.Load()
		_, _ = g.http.Close(), g.calls.http.Close()
		return fmt.Errorf("%d requests cut off: %w", n, err)
	}
	return nil
}

// shutdown shuts a server down whose connections are drained.
func shutdown(ctx context.Context, s *http.Server) error {
	if err := s.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) { // the listener is closed already
		return err
	}
	return nil
}
