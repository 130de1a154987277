package gateway

import (
	"fmt"
	"net/http"

	"fovea/internal/httpserver"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// report is the body of /health and /ready, in the form that the replicas' has.
type report struct {
	Status   string   `json:"status"`
	Reasons  []string `json:"reasons"`
	Replicas []Status `json:"replicas"`
}

// ownRoutes are those that are not passed on.
func (g *Gateway) ownRoutes() map[string]http.Handler {
	return map[string]http.Handler{
		"/health": http.HandlerFunc(g.health),
		"/ready":  http.HandlerFunc(g.ready),
		"/metrics": promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{
			MaxRequestsInFlight: 4, Registry: g.metrics.registry,
		}),
	}
}

// health says that the process answers; which replicas do is what ready says.
func (g *Gateway) health(w http.ResponseWriter, _ *http.Request) {
	httpserver.WriteJSON(w, http.StatusOK, report{"live", []string{}, g.pool.Status()})
}

// ready says whether a request would find a replica.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	answer := report{"ready", []string{}, g.pool.Status()}
	if g.pool.ready() == 0 {
		answer.Status = "unready"
		answer.Reasons = append(answer.Reasons, fmt.Sprintf("no replica is ready; %d are known", len(answer.Replicas)))
	}
	if g.draining.Load() {
		answer.Status = "draining"
		answer.Reasons = append(answer.Reasons, "the gateway is shutting down")
	}
	code := http.StatusOK
	if answer.Status != "ready" {
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	httpserver.WriteJSON(w, code, answer)
}
