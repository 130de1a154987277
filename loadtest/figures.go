package loadtest

import (
	"maps"
	"slices"
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

// levelOf computes the figures of a level. load holds its concurrency or rate.
func levelOf(r *recorder, load Level) Level {
	w, _ := r.result()
	l := Level{
		Concurrency: load.Concurrency, Rate: load.Rate, Purpose: load.Purpose,
		Stable: r.stable, Ended: r.ended, Throughput: round(w.throughput()), Images: w.images, Requests: w.requests,
		Failed: w.failed, AllImages: r.total.images, Failures: maps.Clone(r.total.failures), Latency: latencyOf(w.latency),
		LagP99MS: ms(quantile(w.lag, 99)), Windows: []Window{},
	}
	for _, one := range r.windows {
		l.Windows = append(l.Windows, Window{
			StartSeconds: round(one.start.Seconds()), Seconds: round((one.end - one.start).Seconds()),
			Throughput: round(one.throughput()), P50MS: ms(quantile(one.latency, 50)), P99MS: ms(one.p99()), Failed: one.failed,
		})
	}
	return l
}

// serverOf computes the server's figures between two snapshots; nil if the server has no metrics that loadtest knows.
func serverOf(before, after counters, images int) *Server {
	var s Server
	for _, name := range stages {
		if c := after.stages[name].minus(before.stages[name]); c.count > 0 {
			s.Stages = append(s.Stages, Stage{
				Name: name, MeanMS: round(c.sum / c.count * 1000), P50MS: round(c.quantile(0.5) * 1000), P99MS: round(c.quantile(0.99) * 1000),
			})
		}
	}
	if c := after.batch.minus(before.batch); c.count > 0 {
		s.BatchMean, s.Batches = round(c.sum/c.count), batchesOf(c)
	}
	s.ResidentBytes = after.resident
	if counted := after.images - before.images; counted > 0 {
		images = int(counted) // counted over exactly the same span as the CPU time
	}
	if before.cpu != nil && after.cpu != nil && *after.cpu >= *before.cpu && images > 0 {
		s.CPUMSPerImage = new(round((*after.cpu - *before.cpu) * 1000 / float64(images)))
	}
	if s.Stages == nil && s.Batches == nil && s.CPUMSPerImage == nil && s.ResidentBytes == nil {
		return nil
	}
	return &s
}

func batchesOf(c cumulative) []Batch {
	var list []Batch
	below := 0.0
	for _, bound := range slices.Sorted(maps.Keys(c.bounds)) {
		if n := c.bounds[bound] - below; n > 0 {
			list = append(list, Batch{UpTo: bound, Count: n})
		}
		below = c.bounds[bound]
	}
	if last := c.count - below; last > 0 {
		list = append(list, Batch{Count: last})
	}
	return list
}
