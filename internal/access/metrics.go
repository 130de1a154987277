package access

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// reason is why a request was refused.
type reason string

const (
	noKey         reason = "no_key"
	wrongKey      reason = "wrong_key"
	byScope       reason = "scope"
	byModel       reason = "model"
	byRate        reason = "rate"
	byConcurrency reason = "concurrency"
)

// metrics are those of a guard.
type metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	counters map[reason]prometheus.Counter // of refused, without a lookup by label for each wrong key
}

func newMetrics() *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_key_requests_total",
			Help: "Requests with an API key, by its name and HTTP status."}, []string{"key", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_access_refused_total",
			Help: "Requests refused for their API key or its limits, or for the limit of their client address."}, []string{"reason"}),
		counters: map[reason]prometheus.Counter{},
	}
	for _, r := range []reason{noKey, wrongKey, byScope, byModel, byRate, byConcurrency} {
		m.counters[r] = m.refused.WithLabelValues(string(r))
	}
	return m
}

func (m *metrics) denied(r reason) { m.counters[r].Inc() }

// forget removes the series of a key that is gone.
func (m *metrics) forget(key string) { m.requests.DeletePartialMatch(prometheus.Labels{"key": key}) }

// Count counts a finished request of a client, by its HTTP status.
func (g *Guard) Count(c *Client, status int) {
	if key := c.Key(); key != "" {
		g.metrics.requests.WithLabelValues(key, strconv.Itoa(status)).Inc()
	}
}

// Describe implements prometheus.Collector.
func (g *Guard) Describe(c chan<- *prometheus.Desc) {
	g.metrics.requests.Describe(c)
	g.metrics.refused.Describe(c)
}

// Collect implements prometheus.Collector.
func (g *Guard) Collect(c chan<- prometheus.Metric) {
	g.metrics.requests.Collect(c)
	g.metrics.refused.Collect(c)
}
