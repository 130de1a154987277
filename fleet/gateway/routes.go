package gateway

import (
	"fmt"
	"net/http"
	"slices"

	"fovea/internal/httpserver"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// report is the body of /health and /ready, in the form of the replicas' own.
type report struct {
	Status   string   `json:"status"`
	Reasons  []string `json:"reasons"`
	Replicas []Status `json:"replicas"`
}

// ownRoutes are those that are not forwarded.
func (g *Gateway) ownRoutes() map[string]http.Handler {
	return map[string]http.Handler{
		"/health": http.HandlerFunc(g.health),
		"/ready":  http.HandlerFunc(g.ready),
		"/metrics": promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{
			MaxRequestsInFlight: 4, Registry: g.metrics.registry,
		}),
	}
}

// health reports that the process is alive; ready reports on the replicas.
func (g *Gateway) health(w http.ResponseWriter, _ *http.Request) {
	httpserver.WriteJSON(w, http.StatusOK, report{"live", []string{}, g.balancer.Status()})
}

// ready reports whether a replica can take requests.
func (g *Gateway) ready(w http.ResponseWriter, _ *http.Request) {
	res := report{"ready", []string{}, g.balancer.Status()}
	if !slices.ContainsFunc(res.Replicas, Status.takes) {
		res.Status = "unready"
		res.Reasons = append(res.Reasons, fmt.Sprintf("no replica is ready; %d are known", len(res.Replicas)))
	}
	if g.draining.Load() {
		res.Status = "draining"
		res.Reasons = append(res.Reasons, "the gateway is shutting down")
	}
	code := http.StatusOK
	if res.Status != "ready" {
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	httpserver.WriteJSON(w, code, res)
}
