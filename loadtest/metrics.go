package loadtest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// stages are Fovea's, in processing order.
var stages = []string{"queue", "decode", "preprocess", "infer", "postprocess"}

// cumulative is a Prometheus histogram: the count of values up to each finite bound.
type cumulative struct {
	count  float64
	sum    float64
	bounds map[float64]float64
}

// counters are a server's metrics at one moment.
type counters struct {
	stages   map[string]cumulative
	batch    cumulative
	cpu      *float64 // seconds
	resident *float64 // bytes; a gauge
	images   float64  // successful
}

// readCounters parses Prometheus' text format, and only one model's metrics if modelName is set. Missing metrics are not
// an error.
func readCounters(text []byte, modelName string) (counters, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return counters{}, fmt.Errorf("metrics: %w", err)
	}
	c := counters{stages: map[string]cumulative{}, batch: cumulative{bounds: map[float64]float64{}}}
	each := func(name string, take func(labels map[string]string, m *dto.Metric)) {
		for _, m := range families[name].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if of, labeled := labels["model"]; !labeled || modelName == "" || of == modelName {
				take(labels, m)
			}
		}
	}
	each("fovea_stage_duration_seconds", func(labels map[string]string, m *dto.Metric) {
		c.stages[labels["stage"]] = c.stages[labels["stage"]].plus(m.GetHistogram())
	})
	each("fovea_batch_size", func(_ map[string]string, m *dto.Metric) { c.batch = c.batch.plus(m.GetHistogram()) })
	each("fovea_images_total", func(labels map[string]string, m *dto.Metric) {
		if labels["code"] == "ok" {
			if v := valueOf(m); v != nil {
				c.images += *v
			}
		}
	})
	each("process_cpu_seconds_total", func(_ map[string]string, m *dto.Metric) { c.cpu = valueOf(m) })
	each("process_resident_memory_bytes", func(_ map[string]string, m *dto.Metric) { c.resident = valueOf(m) })
	return c, nil
}

// valueOf returns a single number of any metric type; nil if there is none.
func valueOf(m *dto.Metric) *float64 {
	var v *float64
	switch {
	case m.GetCounter() != nil:
		v = m.GetCounter().Value
	case m.GetGauge() != nil:
		v = m.GetGauge().Value
	case m.GetUntyped() != nil:
		v = m.GetUntyped().Value
	}
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

// plus adds the histogram of another version of the model. Negative and infinite sums and bounds are ignored.
func (c cumulative) plus(h *dto.Histogram) cumulative {
	sum := cumulative{count: c.count + float64(h.GetSampleCount()), sum: c.sum, bounds: map[float64]float64{}}
	if s := h.GetSampleSum(); s >= 0 && !math.IsInf(s, 1) {
		sum.sum += s
	}
	maps.Copy(sum.bounds, c.bounds)
	for _, b := range h.GetBucket() {
		if bound := b.GetUpperBound(); bound >= 0 && !math.IsInf(bound, 1) {
			sum.bounds[bound] += float64(b.GetCumulativeCount())
		}
	}
	return sum
}

// minus returns the difference to an earlier snapshot. If the server was restarted, it is everything since then.
func (c cumulative) minus(earlier cumulative) cumulative {
	if c.count < earlier.count {
		return c
	}
	difference := cumulative{count: c.count - earlier.count, sum: c.sum - earlier.sum, bounds: map[float64]float64{}}
	for bound, n := range c.bounds {
		difference.bounds[bound] = max(0, n-earlier.bounds[bound])
	}
	return difference
}

// quantile estimates a quantile by linear interpolation within a bucket, like Prometheus' histogram_quantile. Above the
// last finite bound it is that bound.
func (c cumulative) quantile(q float64) float64 {
	rank, lower, below := q*c.count, 0.0, 0.0
	for _, upper := range slices.Sorted(maps.Keys(c.bounds)) {
		n := c.bounds[upper]
		if n >= rank && n != below {
			return lower + (upper-lower)*(rank-below)/(n-below)
		}
		lower, below = upper, n
	}
	return lower
}

// scraper reads a server's counters.
type scraper struct {
	url     string // empty: there are none
	model   string
	header  http.Header
	timeout time.Duration
	link    link
}

func (s scraper) read(ctx context.Context) (counters, error) {
	status, text, err := get(ctx, s.url, s.header, s.timeout, s.link)
	if err != nil {
		return counters{}, err
	}
	if status != http.StatusOK {
		return counters{}, fmt.Errorf("GET %s: HTTP %d", s.url, status)
	}
	return readCounters(text, s.model)
}
