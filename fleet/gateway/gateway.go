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

	"fovea/internal/admission"
	"fovea/internal/cors"
	"fovea/internal/httpserver"
)

const (
	expectTimeout = time.Second      // for a replica's 100 Continue, after which the body is sent all the same
	slack         = 10 * time.Second // for what the configured times don't count: headers, reading the answer
)

// Gateway passes requests on to a pool of replicas.
type Gateway struct {
	cfg       Config
	total     time.Duration // the longest a request may take, from its headers to the end of its answer
	pool      *Pool
	metrics   *metrics
	killers   *killers // nil: no body is ever refused
	log       *slog.Logger
	admission *admission.Controller
	inFlight  atomic.Int64 // also those whose answer is being read, which hold no slot
	draining  atomic.Bool
	guests    guests
	routes    map[string]http.Handler
	proxy     http.Handler
	pages     cors.Policy  // the gateway's own: it stands in for the replicas'
	handler   http.Handler // the gateway behind that policy
	retrier   *retrier
	upstream  *http.Transport
	http      *http.Server
	probes    *http.Transport
	watched   sync.Once
	unwatch   context.CancelFunc
	watching  sync.WaitGroup
}

// New makes a gateway that listens nowhere and has no replicas yet. The configuration must be valid.
func New(cfg Config, log *slog.Logger) *Gateway {
	m := newMetrics()
	g := &Gateway{cfg: cfg, total: cfg.BodyTimeout + cfg.AnswerTimeout + slack, metrics: m, log: log, killers: newKillers(cfg, time.Now),
		upstream: transport(cfg), probes: probing(cfg), unwatch: func() {}}
	g.admission = admission.New(cfg.limits())
	g.guests.states = map[net.Conn]http.ConnState{}
	g.pool = newPool(time.Now, func(id string) { m.retire(id, g.pool.known) })
	m.registry.MustRegister(states{g.pool})
	g.retrier = &retrier{
		transport: g.upstream, pool: g.pool, metrics: m, killers: g.killers, memory: &budget{most: int64(cfg.ReplayMemory)},
		suspects: make(chan struct{}, 1), patience: lossPatience,
	}
	g.proxy = g.reverseProxy(g.retrier)
	g.routes = g.ownRoutes()
	g.pages, _ = cors.Parse(cfg.CORS) // the configuration is valid
	g.handler = g.pages.Handler(g, forPages)
	g.http = httpserver.New(g.handler, cfg.BodyTimeout, g.total+slack, log)
	httpserver.Watch(g.http, g.guests.changed)
	return g
}

// transport makes what connects to replicas. It knows no proxies, and changes no bodies.
func transport(cfg Config) *http.Transport {
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer(cfg.DialTimeout),
		DisableCompression:     true,
		MaxIdleConnsPerHost:    int(cfg.MaxRequests),
		IdleConnTimeout:        cfg.IdleTimeout,
		ResponseHeaderTimeout:  cfg.AnswerTimeout,
		ExpectContinueTimeout:  expectTimeout,
		MaxResponseHeaderBytes: httpserver.MaxHeaderBytes,
	}
}

// Pool is where it is said which replicas get requests.
func (g *Gateway) Pool() *Pool { return g.pool }

// Handler is the gateway without a listener.
func (g *Gateway) Handler() http.Handler { return g.handler }

// forPages says whether web pages of other origins may ask for a path: all but what only a monitor reads.
func forPages(path string) bool { return path != "/metrics" }

// Serve answers on the listener until Shutdown, and closes it. It returns nil after Shutdown.
func (g *Gateway) Serve(l net.Listener) error {
	if !g.guests.listen(l) {
		return l.Close()
	}
	defer g.guests.taking.Done()
	g.watched.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		g.unwatch = cancel
		g.watching.Go(func() { g.watch(ctx) })
	})
	if err := httpserver.Serve(g.http, l); err != nil && !g.guests.left() {
		return err
	}
	return nil
}

// Drain turns /ready to 503, so that whoever stands before the gateway sends its requests elsewhere, and ends each
// connection with its next answer. Requests are still taken.
func (g *Gateway) Drain() { g.draining.Store(true) }

// Shutdown takes leave of the clients, closes the listener and waits for the requests in flight, as long as ctx allows;
// those that are left then are cut off. In the end no connection to a replica is kept.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.Drain()
	g.guests.takeLeave(ctx)
	defer g.upstream.CloseIdleConnections()
	defer g.watching.Wait()
	defer g.endWatch()
	if err := g.http.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) { // as its listener is
		n := g.inFlight.Load()
		_ = g.http.Close() // what matters is said already
		return fmt.Errorf("%d requests were cut off: %w", n, err)
	}
	return nil
}

// endWatch ends the watch on replicas, also one that has not begun.
func (g *Gateway) endWatch() {
	g.watched.Do(func() {})
	g.unwatch()
}
