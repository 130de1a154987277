package loadtest

import (
	"maps"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// percentiles of the plotted curve.
var percentiles = []float64{1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 97.5, 99, 99.5, 99.9, 99.95, 99.99}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(p float64) float64 { return ms(quantile(h, p)) }
	l := Latency{
		MeanMS: round(h.Mean() / 1000), MinMS: ms(time.Duration(h.Min()) * time.Microsecond),
		P50MS: at(50), P90MS: at(90), P95MS: at(95), P99MS: at(99), P999MS: at(99.9), MaxMS: at(100),
	}
	for _, p := range percentiles {
		// With less than one request above it, a percentile would only repeat the maximum.
		if float64(h.TotalCount())*(1-p/100) < 1 {
			break
		}
		l.Curve = append(l.Curve, Point{Percentile: p, MS: at(p)})
	}
	l.Curve = append(l.Curve, Point{Percentile: 100, MS: l.MaxMS})
	return l
}

func windowOf(w *window) Window {
	return Window{
		StartSeconds: round(w.start.Seconds()), Seconds: round((w.end - w.start).Seconds()), Throughput: round(w.throughput()),
		P50MS: ms(quantile(w.latency, 50)), P99MS: ms(w.p99()), Failed: w.failed,
	}
}

// levelOf computes the figures of a level.
func levelOf(r *recorder) Level {
	w, _ := r.result()
	l := Level{
		Stable: r.stable, Ended: r.ended, Throughput: round(w.throughput()), Images: w.images, Requests: w.requests,
		Failed: w.failed, AllImages: r.total.images, Failures: maps.Clone(r.total.failures), Latency: latencyOf(w.latency),
		LagP99MS: ms(quantile(w.lag, 99)), Windows: []Window{},
	}
	for _, one := range r.windows {
		l.Windows = append(l.Windows, windowOf(one))
	}
	return l
}

// serverOf computes the server's figures between two snapshots; nil if the server has no metrics that loadtest knows.
func serverOf(before, after counters, images int) *Server {
	var s Server
	for _, name := range stages {
		if c := after.stages[name].minus(before.stages[name]); c.count > 0 {
			s.Stages = append(s.Stages, Stage{
				Name: name, MeanMS: round(c.mean() * 1000), P50MS: round(c.quantile(0.5) * 1000), P99MS: round(c.quantile(0.99) * 1000),
			})
		}
	}
	if c := after.batch.minus(before.batch); c.count > 0 {
		s.BatchMean, s.Batches = round(c.mean()), batchesOf(c)
	}
	s.ResidentBytes = after.resident
	if counted := after.images - before.images; counted > 0 {
		images = int(counted) // counted over exactly the same span as the CPU time
	}
	if before.cpu != nil && after.cpu != nil && *after.cpu >= *before.cpu && images > 0 {
		perImage := round((*after.cpu - *before.cpu) * 1000 / float64(images))
		s.CPUMSPerImage = &perImage
	}
	if s.Stages == nil && s.Batches == nil && s.CPUMSPerImage == nil && s.ResidentBytes == nil {
		return nil
	}
	return &s
}

func batchesOf(c cumulative) []Batch {
	var list []Batch
	below := 0.0
	for _, bound := range c.sorted() {
		if n := c.bounds[bound] - below; n > 0 && !math.IsInf(bound, 1) {
			list = append(list, Batch{UpTo: bound, Count: n})
		}
		below = c.bounds[bound]
	}
	// Prometheus may omit the +Inf bucket.
	if last := c.count - finite(c); last > 0 {
		list = append(list, Batch{Count: last})
	}
	return list
}

// finite is the number of values below the last finite bound.
func finite(c cumulative) float64 {
	n := 0.0
	for bound, count := range c.bounds {
		if !math.IsInf(bound, 1) {
			n = max(n, count)
		}
	}
	return n
}
