package gateway

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// durationBuckets are in seconds.
var durationBuckets = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// maxRetired bounds the replicas that are gone and still have metrics.
const maxRetired = 64

// metrics is the gateway's own registry.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	retries  prometheus.Counter
	upstream map[reason]prometheus.Counter

	mu      sync.Mutex
	retired []string // replicas that are gone, the oldest first
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_gateway_requests_total",
			Help: "Requests, by replica and HTTP status; 499: the client disconnected; replica none: no replica was chosen."}, []string{"replica", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fovea_gateway_request_duration_seconds",
			Help: "Time from a request's headers to the end of its response.", Buckets: durationBuckets}, []string{"replica"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "fovea_gateway_retries_total",
			Help: "Requests retried on another replica."}),
		upstream: map[reason]prometheus.Counter{},
	}
	upstream := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fovea_gateway_upstream_errors_total",
		Help: "Requests without a complete response from a replica, by reason."}, []string{"reason"})
	for _, r := range reasons {
		m.upstream[r] = upstream.WithLabelValues(string(r))
	}
	m.registry.MustRegister(m.requests, m.duration, m.retries, upstream, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// retire notes that a replica is gone. Its series are kept until maxRetired others are gone, for a last scrape.
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
	inFlightDesc = prometheus.NewDesc("fovea_gateway_in_flight", "Requests in flight, by replica.", []string{"replica"}, nil)
	replicasDesc = prometheus.NewDesc("fovea_gateway_replicas", "Replicas, by state.", []string{"state"}, nil)
)

// backendCollector collects the metrics that are read from the load balancer.
type backendCollector struct{ balancer *Balancer }

// Describe implements prometheus.Collector.
func (backendCollector) Describe(c chan<- *prometheus.Desc) {
	c <- inFlightDesc
	c <- replicasDesc
}

// Collect implements prometheus.Collector.
func (c backendCollector) Collect(out chan<- prometheus.Metric) {
	inFlight := map[string]int{} // a replica whose URL changed is listed twice
	count := map[State]int{}
	for _, r := range c.balancer.Status() {
		inFlight[r.ID] += r.InFlight
		count[r.State]++
	}
	for id, n := range inFlight {
		out <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(n), id)
	}
	for _, state := range []State{Ready, Cooldown, Unresponsive, Draining, Removed} {
		out <- prometheus.MustNewConstMetric(replicasDesc, prometheus.GaugeValue, float64(count[state]), string(state))
	}
}
