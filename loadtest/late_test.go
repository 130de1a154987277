package loadtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

func TestLateResponses(t *testing.T) {
	const ms = time.Millisecond
	timedOut := func(due, end time.Duration) sample {
		return sample{due: due, sent: due, end: end, failed: []string{kindTimeout}}
	}
	answered := func(due, end time.Duration) sample { return sample{due: due, sent: due, end: end, images: 1} }
	for _, test := range []struct {
		name     string
		inFlight []sample // in addition to 300 requests of 5 ms in three windows from 1 s to 4 s
		failed   int
		p99      time.Duration
		over     string
	}{
		{"none", nil, 0, 5 * ms, endedStable},
		{"one that times out counts", []sample{timedOut(2*time.Second, 12*time.Second)}, 1, 5 * ms, endedStable},
		{"one that fails quickly counts", []sample{{due: 3999 * ms, sent: 3999 * ms, end: 4001 * ms, failed: []string{kindTimeout}}}, 1, 5 * ms, endedStable},
		{"one that hung from the warm-up on counts", []sample{timedOut(0, 10*time.Second)}, 1, 5 * ms, endedStable},
		{"one that was due after the last window does not", []sample{timedOut(5*time.Second, 15*time.Second)}, 0, 5 * ms, endedStable},
		{"a few that are answered late are above the p99", []sample{answered(2*time.Second, 9*time.Second)}, 0, 5 * ms, endedStable},
		{"two in a hundred late responses are the p99, and the level is not stable", []sample{
			answered(1500*ms, 8500*ms), answered(2*time.Second, 9*time.Second), answered(2500*ms, 9500*ms), answered(3*time.Second, 10*time.Second),
			answered(3200*ms, 10200*ms), answered(3500*ms, 10500*ms),
		}, 0, 7 * time.Second, endedLate},
		{"answers that are as quick as the others change nothing", []sample{answered(3999*ms, 4001*ms)}, 0, 5 * ms, endedStable},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &recorder{config: Config{Warmup: time.Second, Window: time.Second, WindowCount: 10, MaxWindows: 6, Tolerance: 0.1}}
			steady(r, 0, time.Minute, 10*ms, good(5*ms))
			r.conclude(test.inFlight)
			w, _ := r.result()
			if w.failed != test.failed || w.failures[kindTimeout] != test.failed || w.p99().Round(10*ms) != test.p99.Round(10*ms) {
				t.Errorf("%d failed (%v), p99 %s", w.failed, w.failures, w.p99())
			}
			if r.ended != test.over || r.stable != (test.over == endedStable) {
				t.Errorf("over %q, stable: %v", r.ended, r.stable)
			}
			if w.images != 300 || w.requests != 300 || w.latency.Min() != (5*ms).Microseconds() {
				t.Errorf("%d images of %d requests, the fastest %d µs", w.images, w.requests, w.latency.Min())
			}
		})
	}
}

func TestHangingServerFailsThresholds(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Config)
		hangs  func(n int64) bool // of the nth request after the probes
		images bool               // some are answered
	}{
		{"on some requests of an open loop", func(c *Config) { c.Concurrency, c.Rates = nil, []float64{200} }, func(n int64) bool { return n%5 == 0 }, true},
		{"on every request of a closed loop", func(*Config) {}, func(int64) bool { return true }, false},
	} {
		t.Run(test.name, inBubble(func(t *testing.T) {
			s := newFakeServer(t)
			over := make(chan struct{})
			t.Cleanup(func() { close(over) })
			c := quick(t, s)
			c.Timeout = 2 * time.Second // longer than the windows
			test.change(&c)
			s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
				if n > 2 && test.hangs(n-2) {
					<-over
				}
				_, _ = io.WriteString(w, goodAnswer)
			}
			r := ran(t, s, c)
			l := r.Levels[0]
			if l.Failed == 0 || l.Failures[kindTimeout] < l.Failed || (l.Images > 0) != test.images {
				t.Errorf("%d images, %d failed: %v", l.Images, l.Failed, l.Failures)
			}
			if missed := (Thresholds{}).Missed(r); len(missed) == 0 {
				t.Error("no threshold is missed")
			}
		}))
	}
}

func TestInterruptDoesNotWaitForResponses(t *testing.T) {
	for _, test := range []struct {
		name  string
		hangs func(n int64) bool // the nth request after the probes
		after time.Duration      // of a load whose windows take 0.2 to 0.8 s
	}{
		{"while windows are waited for", func(int64) bool { return true }, 300 * time.Millisecond},
		{"while the last answers of a level are waited for", func(n int64) bool { return n == 2 }, time.Second},
	} {
		t.Run(test.name, inBubble(func(t *testing.T) {
			s := newFakeServer(t)
			over := make(chan struct{})
			t.Cleanup(func() { close(over) })
			ctx, cancel := context.WithCancel(t.Context())
			s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
				if n > 2 && test.hangs(n-2) {
					time.AfterFunc(test.after, cancel)
					<-over
				}
				_, _ = io.WriteString(w, goodAnswer)
			}
			c := quick(t, s)
			c.Timeout = maxLatency
			p := prepared(t, s, c)
			done := make(chan struct{})
			var r *Result
			var err error
			go func() {
				defer close(done)
				r, err = p.Run(ctx, func(Progress) {})
			}()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("it waits for answers")
			}
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			for _, l := range r.Levels {
				if l.Stable || l.Ended != endedInterrupted || l.AllFailed() > 0 {
					t.Errorf("stable: %v, %q, failures %v", l.Stable, l.Ended, l.Failures)
				}
			}
		}))
	}
}
