package loadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"time"
)

// progressInterval is the interval of progress reports, and of checking the time when the server sends no responses.
const progressInterval = 200 * time.Millisecond

// Progress is the progress of a level.
type Progress struct {
	Level   Level // its figures so far
	Done    bool  // the level has ended
	Window  int   // the current window, from 1; 0: warming up
	Windows int   // maximum
}

// run is a running load test.
type run struct {
	plan       *Plan
	began      time.Time
	sampler    *sampler // nil: no GPUs
	onProgress func(Progress)
	result     *Result
}

// Run sends the load and calls onProgress from one goroutine. When ctx ends, it returns the result so far with ctx's error.
func (p *Plan) Run(ctx context.Context, onProgress func(Progress)) (result *Result, err error) {
	nvml, note, err := openGPUs(p.config)
	if err != nil {
		return nil, err
	}
	r := &run{plan: p, began: time.Now(), onProgress: onProgress, result: p.emptyResult()}
	if note != "" {
		r.result.Notes = append(r.result.Notes, note)
	}
	if nvml != nil {
		defer func() { err = errors.Join(err, nvml.Close()) }()
		r.sampler = startSampler(ctx, nvml, p.config.GPUInterval, r.began)
	}
	err = r.levels(ctx)
	if r.sampler != nil {
		var samplerErr error
		if r.result.GPUs, samplerErr = r.sampler.end(); samplerErr != nil {
			r.result.Notes = append(r.result.Notes, samplerErr.Error())
		}
	}
	r.result.Seconds = round(time.Since(r.began).Seconds())
	return r.result, err
}

// emptyResult returns the result before the first level.
func (p *Plan) emptyResult() *Result {
	c := p.config
	bytes := 0
	for _, img := range p.checker.images {
		bytes += len(img.Data)
	}
	load := Load{
		Images: len(p.checker.images), ImageBytes: round(float64(bytes) / float64(len(p.checker.images))), Body: c.Body.Kind,
		ImagesPerRequest: c.Body.Images, WarmupMS: ms(c.Warmup), WindowMS: ms(c.Window), MaxWindows: c.MaxWindows, Tolerance: c.Tolerance,
		TimeoutMS: ms(c.Timeout),
	}
	if p.checker.v2 != nil {
		load.Protocol, load.Body = c.Protocol, ""
		if c.V2.Input != EncodedImages {
			load.Input = c.V2.Input
		}
	}
	if len(c.Rates) > 0 || c.P99Below > 0 {
		load.Arrivals = c.Arrivals
		if c.Arrivals == Poisson {
			load.Seed = c.Seed
		}
	}
	return &Result{
		Format: Format, Label: c.Label, Started: time.Now().UTC().Truncate(time.Second), Target: p.target, Load: load,
		Client: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: processor(), Cores: runtime.GOMAXPROCS(0)},
		Levels: []Level{}, Notes: slices.Clone(p.notes),
	}
}

var modelName = regexp.MustCompile(`(?m)^model name[ \t]*:[ \t]*(.*?)[ \t]*$`)

// processor returns the CPU's name on Linux; empty elsewhere.
func processor() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	if m := modelName.FindSubmatch(data); m != nil {
		return string(m[1])
	}
	return ""
}

// levels runs the configured concurrencies, rates and search.
func (r *run) levels(ctx context.Context) error {
	for _, n := range r.plan.config.Concurrency {
		if _, err := r.level(ctx, Level{Concurrency: n}, 0); err != nil {
			return err
		}
	}
	for _, rate := range r.plan.config.Rates {
		if _, err := r.level(ctx, Level{Rate: rate}, 0); err != nil {
			return err
		}
	}
	if r.plan.config.P99Below > 0 {
		return r.findRate(ctx)
	}
	return nil
}

// level runs one level and appends it to the result. load holds its concurrency or rate; a p99 that stays above limit,
// unless that is 0, ends it early.
func (r *run) level(ctx context.Context, load Level, limit time.Duration) (*Level, error) {
	rec := &recorder{config: r.plan.config, limit: limit}
	metrics := &snapshots{scraper: r.plan.scraper}
	defer metrics.readers.Wait()
	l := r.plan.send(ctx, load.Concurrency, load.Rate)
	progress := func(done bool) { r.onProgress(progressOf(load, rec, done)) }
	err := l.measure(ctx, rec, func() { metrics.take(ctx) }, func() { progress(false) })
	level := levelOf(rec, load)
	if len(rec.windows) == 0 {
		return &level, err
	}
	w, first := rec.result()
	var metricsErr error
	if level.Server, metricsErr = metrics.between(first, len(rec.windows), w.images); metricsErr != nil && ctx.Err() == nil {
		r.result.Notes = append(r.result.Notes, level.Name()+": "+metricsErr.Error())
	}
	if r.sampler != nil {
		offset := l.began.Sub(r.began)
		level.GPUs = r.sampler.between(offset+w.start, offset+w.end)
		level.ImagesPerJoule = imagesPerJoule(level.GPUs, w.end-w.start, w.images)
	}
	r.result.Levels = append(r.result.Levels, level)
	if level.Rate > 0 && level.LagP99MS > max(1, level.Latency.P99MS/10) {
		r.result.Notes = append(r.result.Notes, fmt.Sprintf("%s: requests were sent up to %.3g ms late (p99), and their latencies "+
			"include that: this machine is too busy to send on time, or max-in-flight was reached", level.Name(), level.LagP99MS))
	}
	progress(true)
	return &level, err
}

func progressOf(load Level, r *recorder, done bool) Progress {
	p := Progress{Windows: r.config.MaxWindows, Done: done}
	if r.current != nil {
		p.Window = len(r.windows) + 1
	}
	if done || r.current == nil {
		p.Level = levelOf(r, load)
		return p
	}
	// While it runs: the last complete window and the current one.
	recent := append(r.windows[max(0, len(r.windows)-1):len(r.windows):len(r.windows)], r.current)
	w := merge(recent)
	p.Level = Level{
		Concurrency: load.Concurrency, Rate: load.Rate, Purpose: load.Purpose,
		Throughput: round(w.throughput()), Images: w.images, Requests: w.requests, Failed: w.failed,
		AllImages: r.total.images, Failures: maps.Clone(r.total.failures),
		Latency: Latency{P50MS: ms(quantile(w.latency, 50)), P99MS: ms(w.p99())},
	}
	return p
}
