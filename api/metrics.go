package api

import (
	"cmp"
	"strconv"
	"time"

	"fovea/inference"
	"fovea/internal/admission"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// unknownModel is the label of requests for models that do not exist, so that clients cannot create labels.
const unknownModel = "unknown"

// seconds are the buckets of histograms, from 0.1 ms to 10 s.
var seconds = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// Build identifies the program.
type Build struct {
	Version, Revision, GoVersion string
}

// Metrics is the server's registry, and the engine's observer.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	stage    *prometheus.HistogramVec
	batch    *prometheus.HistogramVec
	queue    *prometheus.GaugeVec
	rejected *prometheus.CounterVec
	images   *prometheus.CounterVec
	evicted  *prometheus.CounterVec
	discards *prometheus.CounterVec
	tiles    *prometheus.HistogramVec
}

// NewMetrics returns a registry of Fovea's metrics, those of the Go runtime and the process, and more.
func NewMetrics(build Build, more ...prometheus.Collector) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("fovea_requests_total", "Requests for predictions, by HTTP status; 499: the client disconnected.", "model", "version", "status"),
		duration: histogram("fovea_request_duration_seconds", "Time from the headers of a request for predictions to its response.", seconds, "model", "version"),
		stage:    histogram("fovea_stage_duration_seconds", "Time of one stage of one image's prediction: queue, decode, preprocess, infer, postprocess.", seconds, "model", "version", "stage"),
		batch:    histogram("fovea_batch_size", "Images in a batch, without padding.", []float64{1, 2, 4, 8, 16, 32, 64, 128}, "model", "version"),
		queue: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "fovea_queue_depth",
			Help: "Images, and tiles of images, accepted whose prediction is not finished."}, []string{"model", "version"}),
		rejected: counter("fovea_rejected_total", "Requests and images without a prediction, by error code.", "model", "code"),
		discards: counter("fovea_boxes_discarded_total", "Boxes omitted from predictions because they are far outside of the image.", "model", "version"),
		evicted:  counter("fovea_model_evictions_total", "Models unloaded to free memory; they are loaded again when used. Reason: room or ttl.", "model", "reason"),
		tiles: histogram("fovea_image_tiles", "Tiles of each image that was predicted in tiles.", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096},
			"model", "version"),
		images: counter("fovea_images_total", "Images by result: ok or an error code.", "model", "code"),
	}
	m.registry.MustRegister(m.requests, m.duration, m.stage, m.batch, m.queue, m.rejected, m.images, m.discards, m.evicted, m.tiles)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "fovea_build_info", Help: "Always 1; the labels identify the program.",
			ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "go_version": build.GoVersion},
		}, func() float64 { return 1 }))
	m.registry.MustRegister(more...)
	return m
}

// Describe implements the part of prometheus.Collector that the documentation of the metrics is made from.
func (m *Metrics) Describe(c chan<- *prometheus.Desc) { m.registry.Describe(c) }

// Stage implements inference.Observer.
func (m *Metrics) Stage(model, version, stage string, d time.Duration) {
	m.stage.WithLabelValues(model, version, stage).Observe(d.Seconds())
}

// Batch implements inference.Observer.
func (m *Metrics) Batch(model, version string, rows, _ int) {
	m.batch.WithLabelValues(model, version).Observe(float64(rows))
}

// Queue implements inference.Observer.
func (m *Metrics) Queue(model, version string, change int) {
	m.queue.WithLabelValues(model, version).Add(float64(change))
}

// Discarded implements inference.Observer.
func (m *Metrics) Discarded(model, version string, boxes int) {
	m.discards.WithLabelValues(model, version).Add(float64(boxes))
}

// Tiles implements inference.Observer.
func (m *Metrics) Tiles(model, version string, tiles int) {
	m.tiles.WithLabelValues(model, version).Observe(float64(tiles))
}

// Evicted implements inference.Observer.
func (m *Metrics) Evicted(model, reason string) {
	m.evicted.WithLabelValues(model, reason).Inc()
}

// Rejected implements inference.Observer.
func (m *Metrics) Rejected(model, code string) {
	m.rejected.WithLabelValues(cmp.Or(model, unknownModel), code).Inc()
}

// request counts a finished request for predictions.
func (m *Metrics) request(rc *requestContext) {
	model := cmp.Or(rc.model, unknownModel)
	m.requests.WithLabelValues(model, rc.version, strconv.Itoa(rc.status)).Inc()
	m.duration.WithLabelValues(model, rc.version).Observe(time.Since(rc.start).Seconds())
}

// countImages counts the results of the images of one request.
func (m *Metrics) countImages(model string, results []imageResult) {
	for _, result := range results {
		code := "ok"
		if result.err != nil {
			code = string(result.err.Code)
		}
		m.images.WithLabelValues(model, code).Inc()
	}
}

// countRows counts images or rows of tensors of one request.
func (m *Metrics) countRows(model string, rows int, code string) {
	m.images.WithLabelValues(cmp.Or(model, unknownModel), code).Add(float64(rows))
}

// Inferred counts a request for inference over another protocol. Status is the HTTP status that belongs to its result, and code ok or
// an error code.
func (m *Metrics) Inferred(model, version string, rows, status int, code string, d time.Duration) {
	model = cmp.Or(model, unknownModel)
	m.requests.WithLabelValues(model, version, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(model, version).Observe(d.Seconds())
	m.countRows(model, rows, code)
}

// watch registers the metrics that are read from the server's parts at each scrape.
func (m *Metrics) watch(engine Engine, a *admission.Controller) {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	m.registry.MustRegister(
		modelStates{engine},
		gauge("fovea_requests_in_flight", "Requests for predictions in flight.", func() float64 { return float64(a.Requests()) }),
		gauge("fovea_body_bytes_in_flight", "Bytes received of the bodies of requests in flight.", func() float64 { return float64(a.Bytes()) }),
	)
}

var (
	memoryDesc     = prometheus.NewDesc("fovea_model_memory_bytes", "Memory of the version's weights and batches, on all devices.", []string{"model", "version"}, nil)
	readyDesc      = prometheus.NewDesc("fovea_model_ready", "1 if the version is ready, else 0.", []string{"model", "version", "device"}, nil)
	unreadableDesc = prometheus.NewDesc("fovea_model_unreadable",
		"1 if the model cannot be read from the repository now, else 0. Loaded versions are still served.", []string{"model"}, nil)
	refusedDesc = prometheus.NewDesc("fovea_gate_refused",
		"1 if the version is not served because it did not pass versions.gate, with the reason; 0 if it passed.", []string{"model", "version", "reason"}, nil)
	measureDesc = prometheus.NewDesc("fovea_gate_measure",
		"What versions.gate measured on held-out images: accuracy, served_accuracy, agreement (0 to 1), images.", []string{"model", "version", "measure"}, nil)
)

// modelStates collects fovea_model_ready, fovea_model_unreadable and those of gates from the engine, so that unloaded versions disappear.
type modelStates struct{ engine Engine }

// Describe implements prometheus.Collector.
func (modelStates) Describe(c chan<- *prometheus.Desc) {
	c <- readyDesc
	c <- memoryDesc
	c <- unreadableDesc
	c <- refusedDesc
	c <- measureDesc
}

// Collect implements prometheus.Collector.
func (s modelStates) Collect(c chan<- prometheus.Metric) {
	ready := map[[3]string]float64{} // a version that is being replaced is in the list twice
	unreadable := map[string]float64{}
	gates := map[[2]string]*inference.GateResult{}
	memory := map[[2]string]int64{}
	for _, m := range s.engine.Models() {
		unreadable[m.Name] = 0
		if m.Unreadable != "" {
			unreadable[m.Name] = 1
		}
		memory[[2]string{m.Name, m.Version}] += m.Memory
		key := [3]string{m.Name, m.Version, m.Device}
		ready[key] = max(ready[key], 0)
		if m.State == inference.Ready {
			ready[key] = 1
		}
		if m.Gate != nil {
			gates[[2]string{m.Name, m.Version}] = m.Gate
		}
	}
	for key, value := range ready {
		c <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, value, key[:]...)
	}
	for model, value := range unreadable {
		c <- prometheus.MustNewConstMetric(unreadableDesc, prometheus.GaugeValue, value, model)
	}
	for key, value := range memory {
		c <- prometheus.MustNewConstMetric(memoryDesc, prometheus.GaugeValue, float64(value), key[:]...)
	}
	collectGates(c, gates)
}

// collectGates collects the results of gates, by model and version.
func collectGates(c chan<- prometheus.Metric, gates map[[2]string]*inference.GateResult) {
	for key, r := range gates {
		refused := 0.0
		if r.Reason != "" {
			refused = 1
		}
		c <- prometheus.MustNewConstMetric(refusedDesc, prometheus.GaugeValue, refused, key[0], key[1], r.Reason)
		c <- prometheus.MustNewConstMetric(measureDesc, prometheus.GaugeValue, float64(r.Images), key[0], key[1], "images")
		for measure, value := range r.Measures() {
			c <- prometheus.MustNewConstMetric(measureDesc, prometheus.GaugeValue, value, key[0], key[1], measure)
		}
	}
}
