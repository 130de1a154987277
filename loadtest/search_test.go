package loadtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSearchFindsTheHighestRateThatPasses(t *testing.T) {
	for _, test := range []struct {
		name         string
		start, limit float64 // rates up to limit pass
		steps        int     // at most
		none         bool
	}{
		{"the limit is above the start", 10, 137, 12, false},
		{"the limit is the start", 10, 10, 8, false},
		{"the limit is far above", 1, 90_000, 26, false},
		{"the limit is below the start", 100, 7, 12, false},
		{"nothing passes", 100, 0, maxHalvings + 1, true},
		{"everything passes: the search has an end", 100, 1e12, 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newBisection(test.start, 0.05)
			steps := 0
			for rate, more := s.next(); more; rate, more = s.next() {
				if steps++; steps > test.steps {
					t.Fatalf("more than %d steps", test.steps)
				}
				if s.failed > 0 && rate >= s.failed || rate <= s.passed {
					t.Fatalf("tries %g though %g passed and %g failed", rate, s.passed, s.failed)
				}
				s.record(rate <= test.limit)
			}
			switch {
			case test.none:
				if s.passed != 0 {
					t.Errorf("found %g", s.passed)
				}
			case s.passed > test.limit || s.failed > 0 && (s.failed <= test.limit || s.failed > s.passed*1.05):
				t.Errorf("passed %g, failed %g, limit %g", s.passed, s.failed, test.limit)
			}
		})
	}
}

func TestFailedStepIsRepeated(t *testing.T) {
	for _, test := range []struct {
		name   string
		status func(attempt int) int // of every other response
		want   bool
		levels int
	}{
		{"a rate within reach", func(int) int { return 200 }, true, 1},
		{"a hiccup", func(attempt int) int { return []int{429, 200, 200}[attempt-1] }, true, 2},
		{"a rate out of reach", func(int) int { return 429 }, false, 2},
	} {
		t.Run(test.name, inBubble(func(t *testing.T) {
			r, passed := stepAt200(t, test.status)
			if passed != test.want || len(r.result.Levels) != test.levels || *r.result.Levels[test.levels-1].Passed != test.want {
				t.Fatalf("%v after %d levels", passed, len(r.result.Levels))
			}
			if test.want && (r.result.Search.Rate != 200 || r.result.Search.Level != test.levels-1) || !test.want && r.result.Search.Level != -1 {
				t.Errorf("search %+v", r.result.Search)
			}
		}))
	}
}

// stepAt200 runs a step at 200 requests per second.
func stepAt200(t *testing.T, status func(attempt int) int) (r *run, passed bool) {
	t.Helper()
	s := newFakeServer(t)
	var attempt atomic.Int64 // 0: preparation
	s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
		if k := int(attempt.Load()); k > 0 && status(k) != 200 && n%2 == 0 {
			w.WriteHeader(status(k))
			return
		}
		slow(20*time.Millisecond)(n, w, nil)
	}
	c := quick(t, s)
	c.Concurrency, c.P99Below, c.MaxErrors, c.Tolerance = nil, 9*time.Second, 0.1, 1
	p := prepared(t, s, c)
	r = &run{plan: p, began: time.Now(), result: p.emptyResult(), onProgress: func(progress Progress) {
		if progress.Done {
			attempt.Add(1)
		}
	}}
	r.result.Search = &Search{Level: -1}
	attempt.Store(1)
	passed, err := r.step(t.Context(), 200)
	if err != nil {
		t.Fatal(err)
	}
	return r, passed
}

func TestSearchStaysWithinCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		one := make(chan struct{}, 1) // a mutex would stop virtual time
		s.answer = func(_ int64, w http.ResponseWriter, _ []byte) {
			one <- struct{}{}
			time.Sleep(5 * time.Millisecond) // at most 200 per second
			<-one
			_, _ = io.WriteString(w, goodAnswer)
		}
		c := quick(t, s)
		c.Concurrency, c.P99Below, c.Precision, c.MaxInFlight = nil, 9*time.Second, 0.2, 64
		r := ran(t, s, c)
		if r.Levels[0].Concurrency != 1 || r.Levels[0].Purpose == "" {
			t.Errorf("it starts with %+v", r.Levels[0])
		}
		if r.Search == nil || r.Search.Rate > 200/minRateShare {
			t.Fatalf("found %+v", r.Search)
		}
		if r.Search.Interrupted {
			t.Error("a finished search is marked as interrupted")
		}
		if i := r.Search.Level; i >= 0 && (r.Levels[i].Rate != r.Search.Rate || !*r.Levels[i].Passed) {
			t.Errorf("found %+v, which is level %+v", r.Search, r.Levels[i])
		}
	})
}

func TestInterruptedSearchIsMarked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := quick(t, s)
		c.Concurrency, c.P99Below = nil, 9*time.Second
		r, err := interrupted(t, s, c)
		if !errors.Is(err, context.Canceled) || r.Search == nil || !r.Search.Interrupted {
			t.Errorf("%v, %+v", err, r.Search)
		}
	})
}

func TestStepPassesIfTheServerHoldsTheRate(t *testing.T) {
	level := func(stable bool, tails ...float64) Level { // 100 requests a second, as many answered
		l := Level{Rate: 100, Stable: stable, Throughput: 100, Images: 600, Requests: 600, AllImages: 2000, Latency: Latency{P99MS: tails[len(tails)-1]}}
		for _, p99 := range tails {
			l.Windows = append(l.Windows, Window{P50MS: p99 / 2, P99MS: p99})
		}
		return l
	}
	for _, test := range []struct {
		name   string
		level  Level
		change func(*Level)
		want   bool
	}{
		{"windows that agree", level(true, 900, 910, 920), nil, true},
		{"a p99 that goes up and down", level(false, 700, 900, 800), nil, true},
		{"a p99 that falls", level(false, 900, 800, 700), nil, true},
		{"a p99 that rises within the tolerance, while the throughput does not agree", level(false, 900, 910, 920), nil, true},
		{"a p99 that rises alone", level(false, 700, 800, 900), func(l *Level) { l.Windows[1].P50MS = 300 }, true},
		{"requests pile up below the limit", level(false, 160, 1280, 1440, 1600), nil, false},
		{"above the limit", level(true, 2001, 2001, 2001), nil, false},
		{"the server does not keep up", level(true, 900, 910, 920), func(l *Level) { l.Throughput = 89 }, false},
		{"failures before the windows of the figures", level(true, 900, 910, 920), func(l *Level) { l.Failures = map[string]int{kindTimeout: 1} }, false},
		{"nothing is answered", level(false, 0, 0, 0), func(l *Level) { l.Requests = 0 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Default()
			c.P99Below = 2 * time.Second
			if test.change != nil {
				test.change(&test.level)
			}
			if got := (&run{plan: &Plan{config: c}}).passed(&test.level); got != test.want {
				t.Errorf("passed: %v", got)
			}
		})
	}
}
