package loadtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"time"
)

// progressInterval is how often Progress is told, and how often a silent server is noticed.
const progressInterval = 200 * time.Millisecond

// Progress is how far a level is.
type Progress struct {
	Level   Level // its figures so far
	Done    bool  // the level is over
	Window  int   // the running window, from 1; 0: warming up
	Windows int   // at most
}

// run is a load test under way.
type run struct {
	plan    *Plan
	began   time.Time
	sampler *sampler // nil: no GPUs
	tell    func(Progress)
	result  *Result
}

// Run sends the load and tells its progress to tell, from one goroutine. If ctx ends it returns what it has so far,
// with ctx's error.
func (p *Plan) Run(ctx context.Context, tell func(Progress)) (result *Result, err error) {
	nvml, note, err := openGPUs(p.config)
	if err != nil {
		return nil, err
	}
	r := &run{plan: p, began: time.Now(), tell: tell, result: p.empty()}
	if note != "" {
		r.result.Notes = append(r.result.Notes, note)
	}
	if nvml != nil {
		defer func() { err = errors.Join(err, nvml.Close()) }()
		r.sampler = startSampler(ctx, nvml, p.config.GPUInterval, r.began)
	}
	err = r.levels(ctx)
	if r.sampler != nil {
		var failure error
		if r.result.GPUs, failure = r.sampler.end(); failure != nil {
			r.result.Notes = append(r.result.Notes, failure.Error())
		}
	}
	r.result.Seconds = round(time.Since(r.began).Seconds())
	return r.result, err
}

// empty is the result of a test that has not begun.
func (p *Plan) empty() *Result {
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
	if len(c.Rates) > 0 || c.P99Below > 0 {
		load.Arrivals = c.Arrivals
		if c.Arrivals == Poisson {
			load.Seed = c.Seed
		}
	}
	return &Result{
		Format: Format, Label: c.Label, Started: time.Now().UTC().Truncate(time.Second), Target: p.target, Load: load,
		Client: Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: processor(), Cores: runtime.GOMAXPROCS(0)},
		Levels: []Level{}, Notes: append([]string(nil), p.notes...),
	}
}

// processor is the CPU's name as Linux tells it; empty elsewhere.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// levels runs what the configuration asks for: the concurrencies, the rates and the search.
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
		return r.search(ctx)
	}
	return nil
}

// level runs one level and appends it to the result. Given is its concurrency or rate; limit, unless 0, ends it early if
// the p99 stays above.
func (r *run) level(ctx context.Context, given Level, limit time.Duration) (*Level, error) {
	m := newMeter(r.plan.config)
	m.limit = limit
	counts := &marks{scraper: r.plan.scraper}
	l := r.plan.send(ctx, given.Concurrency, given.Rate)
	progress := func(done bool) { r.tell(progressOf(given, m, done)) }
	err := l.measure(ctx, m, func() { counts.mark(ctx) }, func() { progress(false) })
	level := named(levelOf(m), given)
	if w, first := m.result(); len(m.windows) > 0 {
		server, failure := counts.between(first, len(m.windows), w.images)
		level.Server = server
		if failure != nil && ctx.Err() == nil {
			r.result.Notes = append(r.result.Notes, level.Name()+": "+failure.Error())
		}
		if r.sampler != nil {
			offset := l.began.Sub(r.began)
			level.GPUs = r.sampler.between(offset+w.start, offset+w.end)
			level.ImagesPerJoule = imagesPerJoule(level.GPUs, w.end-w.start, w.images)
		}
		r.result.Levels = append(r.result.Levels, level)
		if late(level) {
			r.result.Notes = append(r.result.Notes, fmt.Sprintf("%s: requests were sent up to %.3g ms late (p99), which their latencies "+
				"include: this machine is too busy to send on time, or max-in-flight was reached", level.Name(), level.LagP99MS))
		}
		progress(true)
	} else {
		counts.wait()
	}
	return &level, err
}

// late tells whether requests were sent so late that it makes a good part of the latency.
func late(l Level) bool { return l.Rate > 0 && l.LagP99MS > 1 && l.LagP99MS > l.Latency.P99MS/10 }

func named(l, given Level) Level {
	l.Concurrency, l.Rate, l.Purpose = given.Concurrency, given.Rate, given.Purpose
	return l
}

func progressOf(given Level, m *meter, done bool) Progress {
	p := Progress{Windows: m.max, Done: done}
	if m.current != nil {
		p.Window = len(m.windows) + 1
	}
	if done || m.current == nil {
		p.Level = named(levelOf(m), given)
		return p
	}
	// While it runs: the last windows, and the one that is not full yet.
	recent := append(m.windows[max(0, len(m.windows)-1):len(m.windows):len(m.windows)], m.current)
	w := merge(recent)
	p.Level = named(Level{
		Throughput: round(w.throughput()), Images: w.images, Requests: w.requests, Failed: w.failed,
		AllImages: m.whole.images, Failures: maps.Clone(m.whole.failures),
		Latency: Latency{P50MS: ms(quantile(w.latency, 50)), P99MS: ms(w.p99())},
	}, given)
	return p
}
