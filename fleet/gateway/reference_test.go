package gateway

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"fovea/internal/reference"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestMetricsReference compares the gateway's metrics in docs/reference/metrics.md with the code.
func TestMetricsReference(t *testing.T) {
	g, err := New(Defaults(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	g.metrics.duration.WithLabelValues("one").Observe(1)
	shown := httptest.NewRecorder()
	promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(shown, httptest.NewRequest("GET", "/metrics", nil))
	reference.Check(t, "reference/metrics.md", "supervise", reference.Metrics(t, shown.Body.String(), g.metrics.registry))
}
