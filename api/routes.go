package api

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fovea/api/playground"
	"fovea/health"
	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/httpserver"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// openAPI is the document for a server with the default limits.
//
//go:embed openapi.json
var openAPI []byte

// documentFor is the document for a server with the limits of cfg. With keys, all operations that say nothing else need one.
func documentFor(cfg Config) []byte {
	limit := func(n int) []byte { return fmt.Appendf(nil, `"maxItems": %d`, n) }
	document := bytes.ReplaceAll(openAPI, limit(Defaults().MaxImages), limit(cfg.MaxImages))
	if cfg.Access.Keys == "" {
		return document
	}
	return bytes.Replace(document, []byte(`"paths": {`), []byte(`"security": [{"bearer": []}, {"apiKey": []}],
  "paths": {`), 1)
}

func (s *Server) routes() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.UseEscapedPath = true // as access.RouteOf; encoded slashes stay a part of the model's name, which is then unknown
	if err := r.SetTrustedProxies(nil); err != nil {
		panic(err) // not reached: there is nothing to parse
	}
	for _, path := range []string{"/predict", "/v1/models/:model/predict", "/v1/models/:model/versions/:version/predict"} {
		r.POST(path, s.route(s.predict))
	}
	r.POST("/v1/models/:model/compare", s.route(s.compare))
	for path, show := range map[string]func(*gin.Context, *requestContext){
		"/v1/models": s.listModels, "/v1/models/:model": s.showModel, "/health": s.showHealth, "/ready": s.showReady,
		"/openapi.json": showDocument(documentFor(s.cfg)), "/metrics": s.showMetrics(),
	} {
		r.GET(path, s.route(show))
		r.HEAD(path, s.route(show)) // net/http leaves the body out
	}
	if s.cfg.ServesPlayground() {
		show := s.route(s.showPlayground(playground.New()))
		for _, path := range []string{"/", playground.Prefix + ":file"} {
			r.GET(path, show)
			r.HEAD(path, show)
		}
	}
	r.NoRoute(s.route(s.noRoute))
	r.NoMethod(s.route(s.noMethod))
	return r
}

func (s *Server) noRoute(c *gin.Context, rc *requestContext) {
	list := "GET /openapi.json lists the routes"
	if rc.v2 && s.v2 != nil {
		list = "GET /v2 lists the extensions that are there"
	}
	s.fail(c, rc, apierror.New(apierror.NotFound, "there is no route %s; %s", apierror.Quote(c.Request.URL.Path), list))
}

func (s *Server) noMethod(c *gin.Context, rc *requestContext) {
	s.fail(c, rc, apierror.New(apierror.MethodNotAllowed, "method %s is not allowed here; allowed: %s", apierror.Quote(c.Request.Method), c.Writer.Header().Get("Allow")))
}

func (s *Server) showHealth(c *gin.Context, rc *requestContext) {
	report := s.health.Report()
	writeHealth(c, rc, report.Live(), report)
}

// readiness is the body of GET /ready. Missing lists the versions that cannot be served, and Warnings the models that cannot
// be read from the repository now; the server may be ready with any of them.
type readiness struct {
	health.Report
	Missing  []string `json:"missing"`
	Warnings []string `json:"warnings"`
	Engines  []string `json:"engines,omitempty"` // models whose TensorRT engines are not all built
}

func (s *Server) showReady(c *gin.Context, rc *requestContext) {
	answer := readiness{Report: s.health.Report(), Missing: []string{}, Warnings: []string{}}
	for _, m := range s.engine.Models() {
		if m.Unreadable != "" && m.State != inference.Failed {
			answer.Warnings = append(answer.Warnings, m.Name+" is served as last loaded: "+m.Unreadable)
		}
		if e := m.Engines; e != nil && (e.Building || e.Built < e.Of) {
			answer.Engines = append(answer.Engines, fmt.Sprintf("%s %s: %s; CUDA computes the other batch sizes", m.Name, m.Version, e))
		}
		if m.State == inference.Failed {
			answer.Missing = append(answer.Missing, strings.TrimSpace(m.Name+" "+m.Version)+": "+m.Error)
		}
	}
	answer.Warnings = slices.Compact(answer.Warnings) // all versions of a model have the same
	if !answer.Ready() {
		c.Header("Retry-After", "1")
	}
	writeHealth(c, rc, answer.Ready(), answer)
}

func writeHealth(c *gin.Context, rc *requestContext, ok bool, report any) {
	rc.quiet = true
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	httpserver.WriteJSON(c.Writer, status, report)
}

func showDocument(document []byte) func(*gin.Context, *requestContext) {
	return func(c *gin.Context, _ *requestContext) { c.Data(http.StatusOK, "application/json", document) }
}

// showPlayground serves the page and its files.
func (s *Server) showPlayground(page *playground.Page) func(*gin.Context, *requestContext) {
	return func(c *gin.Context, rc *requestContext) {
		if !page.Has(c.Request.URL.Path) {
			s.noRoute(c, rc)
			return
		}
		rc.quiet = true
		page.ServeHTTP(c.Writer, c.Request)
	}
}

func (s *Server) showMetrics() func(*gin.Context, *requestContext) {
	h := promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, Registry: s.metrics.registry})
	return func(c *gin.Context, rc *requestContext) {
		rc.quiet = true
		h.ServeHTTP(c.Writer, c.Request)
	}
}
