package loadtest

import (
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// stableWindows consecutive windows must agree, as with NVIDIA's perf_analyzer.
	stableWindows = 3
	// maxLatency is the largest latency in the histograms.
	maxLatency = 10 * time.Minute
	// maxStretch bounds how long a window waits for its count, as a multiple of its length.
	maxStretch = 5
)

// newHistogram holds latencies from 1 µs to maxLatency with three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), maxLatency.Microseconds())) // cannot fail within its range
}

// sample is one finished request. Times count from the start of the load.
type sample struct {
	due    time.Duration // scheduled time
	sent   time.Duration
	end    time.Duration
	images int      // successful
	failed []string // kinds of failures, one per failed image
}

// tally counts images.
type tally struct {
	images   int // successful
	failed   int
	failures map[string]int
}

func (t *tally) fail(kind string, n int) {
	if t.failures == nil {
		t.failures = map[string]int{}
	}
	t.failed += n
	t.failures[kind] += n
}

func (t *tally) add(s sample) {
	t.images += s.images
	for _, kind := range s.failed {
		t.fail(kind, 1)
	}
}

// window holds the requests that finished in a span of time.
type window struct {
	tally
	start, end time.Duration
	requests   int                     // successful
	latency    *hdrhistogram.Histogram // µs, of the successful requests
	lag        *hdrhistogram.Histogram // µs, from due to sent
}

func newWindow(start time.Duration) *window {
	return &window{start: start, end: start, latency: newHistogram(), lag: newHistogram()}
}

func (w *window) add(s sample) {
	w.tally.add(s)
	record(w.lag, s.sent-s.due)
	if len(s.failed) == 0 {
		w.requests++
		record(w.latency, s.end-s.due)
	}
}

// addLate adds a late response: to a request that was due by the end of the window and finished after it. It does not count
// toward throughput.
func (w *window) addLate(s sample) {
	s.images = 0
	w.tally.add(s)
	if len(s.failed) == 0 {
		record(w.latency, s.end-s.due)
	}
}

// throughput returns the number of successful images per second.
func (w *window) throughput() float64 {
	if w.end <= w.start {
		return 0
	}
	return float64(w.images) / (w.end - w.start).Seconds()
}

func (w *window) p99() time.Duration { return quantile(w.latency, 99) }

func quantile(h *hdrhistogram.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtQuantile(percent)) * time.Microsecond
}

// merge combines several windows into one.
func merge(windows []*window) *window {
	all := newWindow(0)
	for i, w := range windows {
		if i == 0 {
			all.start = w.start
		}
		all.end = w.end
		all.images += w.images
		all.requests += w.requests
		for kind, n := range w.failures {
			all.fail(kind, n)
		}
		all.latency.Merge(w.latency)
		all.lag.Merge(w.lag)
	}
	return all
}

// stable reports whether the last windows agree in throughput and p99: the largest is at most 1 + tolerance times the
// smallest. Windows without a successful request never agree.
func stable(windows []*window, tolerance float64) bool {
	if len(windows) < stableWindows {
		return false
	}
	last := windows[len(windows)-stableWindows:]
	rates, tails := make([]float64, len(last)), make([]float64, len(last))
	for i, w := range last {
		rates[i], tails[i] = w.throughput(), float64(w.p99())
	}
	return agree(rates, tolerance) && agree(tails, tolerance)
}

func agree(values []float64, tolerance float64) bool {
	low, high := slices.Min(values), slices.Max(values)
	return low > 0 && high <= low*(1+tolerance)
}
