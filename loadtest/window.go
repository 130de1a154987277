package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// stableWindows in a row must agree, as NVIDIA's perf_analyzer has it.
	stableWindows = 3
	// maxLatency bounds what the histograms hold.
	maxLatency = 10 * time.Minute
	// maxStretch bounds how long a window waits for its count, in its lengths.
	maxStretch = 5
)

// newHistogram holds latencies from 1 µs to maxLatency with three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), maxLatency.Microseconds())) // in its range, so it cannot fail
}

// sample is one finished request. Times count from the start of the load.
type sample struct {
	due    time.Duration // when it was to be sent
	sent   time.Duration
	end    time.Duration
	images int      // answered well
	failed []string // kinds of failures, one an image
}

// tally counts images.
type tally struct {
	images   int // answered well
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

// window is what finished in a span of time.
type window struct {
	tally
	start, end time.Duration
	requests   int                     // answered well in full
	latency    *hdrhistogram.Histogram // µs, of the requests answered well in full
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

// addStraggler takes a request that was due in the window or before it and finished after it. It tells nothing of what
// was answered within the window.
func (w *window) addStraggler(s sample) {
	if len(s.failed) == 0 {
		record(w.latency, s.end-s.due)
	}
	for _, kind := range s.failed {
		w.fail(kind, 1)
	}
}

// throughput is the images answered well a second.
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

// merge makes one window of several.
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

// stable tells whether the last windows agree in throughput and p99: the largest is at most 1 + tolerance times the
// smallest. Windows without a good answer never agree.
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
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	return least > 0 && most <= least*(1+tolerance)
}
