package gateway

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// seconds are the bounds of the histogram of durations.
var seconds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// maxRetired bounds the replicas that have metrics and are no more.
const maxRetired = 64

// metrics is the gateway's own registry.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	retries  prometheus.Counter
	upstream map[reason]prometheus.Counter

	mu      sync.Mutex
	retired []string // replicas that are no more, the oldest first
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_gateway_requests_total",
			Help: "Requests, by replica and HTTP status; 499 is a client that went away, replica none a request that none got."}, []string{"replica", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fovea_gateway_request_duration_seconds",
			Help: "From the headers of a request to the end of its answer.", Buckets: seconds}, []string{"replica"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "fovea_gateway_retries_total",
			Help: "Requests that were given to another replica."}),
		upstream: map[reason]prometheus.Counter{},
	}
	upstream := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_gateway_upstream_errors_total",
		Help: "Requests that a replica did not answer whole, by reason."}, []string{"reason"})
	for _, r := range reasons {
		m.upstream[r] = upstream.WithLabelValues(string(r))
	}
	m.registry.MustRegister(m.requests, m.duration, m.retries, upstream, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// retire notes that nothing is left of a replica. Its series stay for a while, so that the last ones are scraped.
func (m *metrics) retire(id string, known func(string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retired = append(m.retired, id)
	if len(m.retired) <= maxRetired {
		return
	}
	oldest := m.retired[0]
	m.retired = m.retired[1:]
	if !known(oldest) {
		m.requests.DeletePartialMatch(prometheus.Labels{"replica": oldest})
		m.duration.DeletePartialMatch(prometheus.Labels{"replica": oldest})
	}
}

var (
	inFlightDesc = prometheus.NewDesc("fovea_gateway_in_flight", "Requests that a replica is answering.", []string{"replica"}, nil)
	replicasDesc = prometheus.NewDesc("fovea_gateway_replicas", "Replicas, by state.", []string{"state"}, nil)
)

// states are the metrics that are read from the pool when they are asked for.
type states struct{ pool *Balancer }

// Describe implements prometheus.Collector.
func (states) Describe(c chan<- *prometheus.Desc) {
	c <- inFlightDesc
	c <- replicasDesc
}

// Collect implements prometheus.Collector.
func (s states) Collect(c chan<- prometheus.Metric) {
	inFlight := map[string]int{} // a replica that moved is in the list twice
	var count [len(States)]int
	for _, r := range s.pool.Status() {
		inFlight[r.ID] += r.InFlight
		count[r.State]++
	}
	for id, n := range inFlight {
		c <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(n), id)
	}
	for _, state := range States {
		c <- prometheus.MustNewConstMetric(replicasDesc, prometheus.GaugeValue, float64(count[state]), state.String())
	}
}
