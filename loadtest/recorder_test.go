package loadtest

import (
	"math"
	"testing"
	"time"
)

// made is a window of one second with so many images answered, all in the same time.
func made(images int, latency time.Duration) *window {
	w := newWindow(0)
	for range images {
		w.add(sample{end: latency, images: 1})
	}
	w.end = time.Second
	return w
}

func TestStable(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name    string
		windows []*window
		want    bool
	}{
		{"two equal windows are too few", []*window{made(100, 10*ms), made(100, 10*ms)}, false},
		{"three equal windows", []*window{made(100, 10*ms), made(100, 10*ms), made(100, 10*ms)}, true},
		{"throughput just within a tenth", []*window{made(100, 10*ms), made(110, 10*ms), made(105, 10*ms)}, true},
		{"throughput just beyond a tenth", []*window{made(100, 10*ms), made(111, 10*ms), made(105, 10*ms)}, false},
		{"two steps within a tenth that together are beyond", []*window{made(100, 10*ms), made(108, 10*ms), made(116, 10*ms)}, false},
		{"p99 beyond a tenth", []*window{made(100, 10*ms), made(100, 12*ms), made(100, 10*ms)}, false},
		{"only the last three count", []*window{made(5, 90*ms), made(100, 10*ms), made(100, 10*ms), made(100, 10*ms)}, true},
		{"windows in which nothing was answered agree in nothing", []*window{made(0, 0), made(0, 0), made(0, 0)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := stable(test.windows, 0.1); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestMergeWindows(t *testing.T) {
	a, b := made(30, 10*time.Millisecond), made(70, 50*time.Millisecond)
	b.start, b.end = time.Second, 3*time.Second
	b.add(sample{failed: []string{kindTimeout, kindTimeout}})
	w := merge([]*window{a, b})
	if w.images != 100 || w.requests != 100 || w.failed != 2 || w.failures[kindTimeout] != 2 {
		t.Errorf("got %+v", w)
	}
	if got := w.throughput(); got < 33.3 || got > 33.4 {
		t.Errorf("throughput %v over three seconds", got)
	}
	// Three significant digits are kept.
	if p25, p50 := quantile(w.latency, 25), quantile(w.latency, 50); p25.Round(time.Millisecond) != 10*time.Millisecond || p50.Round(time.Millisecond) != 50*time.Millisecond {
		t.Errorf("p25 %s, p50 %s", p25, p50)
	}
}

// steady feeds a recorder one request every gap until it is over or end is reached.
func steady(r *recorder, from, end, gap time.Duration, s func(now time.Duration) sample) time.Duration {
	for now := from; now < end; now += gap {
		one := s(now)
		one.end = now
		r.add(one)
		if r.ended != "" {
			return now
		}
	}
	return end
}

func good(latency time.Duration) func(time.Duration) sample {
	return func(now time.Duration) sample { return sample{due: now - latency, sent: now - latency, images: 1} }
}

func TestRecorder(t *testing.T) {
	c := Config{Warmup: time.Second, Window: time.Second, WindowCount: 10, MaxWindows: 6, Tolerance: 0.1}
	const ms = time.Millisecond
	for _, test := range []struct {
		name    string
		limit   time.Duration
		feed    func(r *recorder)
		over    string
		windows int
		stable  bool
	}{
		{"a steady load is stable after three windows", 0, func(r *recorder) {
			steady(r, 0, time.Minute, 10*ms, good(5*ms))
		}, endedStable, 3, true},
		{"a change ends the agreement; it is stable after three more", 0, func(r *recorder) {
			steady(r, 0, 3*time.Second, 10*ms, good(5*ms))
			steady(r, 3*time.Second, time.Minute, 10*ms, good(9*ms))
		}, endedStable, 5, true},
		{"a load that keeps getting slower is never stable", 0, func(r *recorder) {
			steady(r, 0, time.Minute, 10*ms, func(now time.Duration) sample { return good(now / 2)(now) })
		}, endedMaxWindows, 6, false},
		{"failures alone end it after two windows", 0, func(r *recorder) {
			steady(r, 0, time.Minute, 10*ms, func(time.Duration) sample { return sample{failed: []string{"HTTP 500"}} })
		}, endedFailing, 2, false},
		{"a p99 above the limit ends it after three windows, stable or not", 4 * ms, func(r *recorder) {
			steady(r, 0, time.Minute, 10*ms, func(now time.Duration) sample { return good(now / 2)(now) })
		}, endedAboveLimit, 3, false},
		{"a silent server ends it by the clock", 0, func(r *recorder) {
			for now := time.Duration(0); now < time.Minute && r.ended == ""; now += 100 * ms {
				r.advance(now)
			}
		}, endedMaxWindows, 6, false},
		{"windows of a slow server are stretched until they have their count", 0, func(r *recorder) {
			steady(r, 0, time.Minute, 300*ms, good(200*ms))
		}, endedStable, 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{config: c}
			r.limit = test.limit
			test.feed(r)
			if r.ended != test.over || len(r.windows) != test.windows || r.stable != test.stable {
				t.Errorf("over %q after %d windows, stable: %v", r.ended, len(r.windows), r.stable)
			}
			for i, w := range r.windows {
				if length := w.end - w.start; length < time.Second || length > maxStretch*time.Second {
					t.Errorf("window %d is %s long", i, length)
				}
				if i > 0 && r.windows[i-1].end != w.start {
					t.Errorf("window %d does not begin where the one before ends", i)
				}
			}
		})
	}
}

func TestWholeLevelFailuresCount(t *testing.T) {
	failing := func(time.Duration) sample { return sample{failed: []string{"HTTP 500"}} }
	for _, test := range []struct {
		name     string
		from, to time.Duration // fails; the warm-up is the first second
		allowed  float64
		missed   bool
	}{
		{"none", 0, 0, 0, false},
		{"one in the warm-up", 0, 10 * time.Millisecond, 0, true},
		{"in a window before those of the figures", 1500 * time.Millisecond, 1900 * time.Millisecond, 0, true},
		{"fewer than are allowed", 1500 * time.Millisecond, 1900 * time.Millisecond, 0.1, false},
		{"more than are allowed", 0, 1900 * time.Millisecond, 0.1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{config: Config{Warmup: time.Second, Window: time.Second, WindowCount: 10, MaxWindows: 10, Tolerance: 0.1}}
			steady(r, 0, test.from, 10*time.Millisecond, good(5*time.Millisecond))
			steady(r, test.from, test.to, 10*time.Millisecond, failing)
			end := steady(r, test.to, time.Minute, 10*time.Millisecond, good(5*time.Millisecond))
			l := levelOf(r, Level{Concurrency: 1})
			all, failed := int(end/(10*time.Millisecond))+1, int((test.to-test.from)/(10*time.Millisecond))
			if !l.Stable || l.Failed != 0 || l.AllFailed() != failed || l.Failures["HTTP 500"] != failed || l.AllImages != all-failed {
				t.Errorf("stable: %v, %d failed in the figures, %v in all, %d were good of %d", l.Stable, l.Failed, l.Failures, l.AllImages, all)
			}
			if missed := (Thresholds{MaxErrors: test.allowed}).Missed(&Result{Levels: []Level{l}}); (len(missed) > 0) != test.missed {
				t.Errorf("missed: %q", missed)
			}
		})
	}
}

func TestRecorderIgnoresWarmUpLatencies(t *testing.T) {
	r := &recorder{config: Config{Warmup: time.Second, Window: time.Second, WindowCount: 1, MaxWindows: 10, Tolerance: 0.1}}
	steady(r, 0, time.Second, 10*time.Millisecond, good(900*time.Millisecond))
	steady(r, time.Second, time.Minute, 10*time.Millisecond, good(5*time.Millisecond))
	w, first := r.result()
	if first != 0 || w.images != 300 || time.Duration(w.latency.Max())*time.Microsecond > 6*time.Millisecond {
		t.Errorf("first %d, %d images, slowest %d µs", first, w.images, w.latency.Max())
	}
}

func TestWindowStretchesAtMostFiveLengths(t *testing.T) {
	r := &recorder{config: Config{Window: time.Second, WindowCount: 1000, MaxWindows: 3, Tolerance: 0.1}}
	steady(r, 0, time.Minute, 100*time.Millisecond, good(time.Millisecond))
	for _, w := range r.windows {
		if got := w.end - w.start; got != 5*time.Second {
			t.Errorf("a window is %s long", got)
		}
	}
}

func TestLatencyOf(t *testing.T) {
	h := newHistogram()
	for i := range 10_000 { // 0.1 ms to 1 s
		record(h, time.Duration(i+1)*100*time.Microsecond)
	}
	got := latencyOf(h)
	for name, c := range map[string]struct{ got, want float64 }{
		"mean": {got.MeanMS, 500}, "min": {got.MinMS, 0.1}, "p50": {got.P50MS, 500}, "p90": {got.P90MS, 900}, "p95": {got.P95MS, 950},
		"p99": {got.P99MS, 990}, "p99.9": {got.P999MS, 999}, "max": {got.MaxMS, 1000},
	} {
		if math.Abs(c.got-c.want) > c.want/1000 { // three significant digits
			t.Errorf("%s is %g ms, want %g", name, c.got, c.want)
		}
	}
	if n := len(got.Curve); n != len(percentiles)+1 || got.Curve[n-1] != (Point{100, got.MaxMS}) {
		t.Errorf("the curve is %v", got.Curve)
	}
	few := newHistogram()
	record(few, time.Millisecond)
	if curve := latencyOf(few).Curve; len(curve) != 1 {
		t.Errorf("the curve of one request is %v", curve)
	}
}
