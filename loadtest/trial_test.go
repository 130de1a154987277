package loadtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestATrialThatFailsIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		status func(trial int) int // what the server answers
		want   bool
		levels int
	}{
		{"a rate within reach", func(int) int { return 200 }, true, 1},
		{"a hiccup", func(trial int) int { return []int{429, 200, 200}[trial-1] }, true, 2},
		{"a rate out of reach", func(int) int { return 429 }, false, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, passed := tried(t, test.status)
			for again := 0; tooBusy(r) && again < 20; again++ {
				r, passed = tried(t, test.status)
			}
			if passed != test.want || len(r.result.Levels) != test.levels || *r.result.Levels[test.levels-1].Passed != test.want {
				t.Fatalf("%v after %d levels", passed, len(r.result.Levels))
			}
			if test.want && (r.result.Search.Rate != 200 || r.result.Search.Level != test.levels-1) || !test.want && r.result.Search.Level != -1 {
				t.Errorf("search %+v", r.result.Search)
			}
		})
	}
}

// tooBusy tells whether a level was not passed though every answer was right: then this machine did not keep up.
func tooBusy(r *run) bool {
	return slices.ContainsFunc(r.result.Levels, func(l Level) bool { return !*l.Passed && l.AllFailed() == 0 })
}

// tried is a trial of 200 requests a second, of which every other one gets the status that there is for the time.
func tried(t *testing.T, status func(trial int) int) (r *run, passed bool) {
	t.Helper()
	s := newStandIn(t)
	var trial atomic.Int64 // 0: the preparation
	s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
		if trial.Load() > 0 && status(int(trial.Load())) != 200 && n%2 == 0 {
			w.WriteHeader(status(int(trial.Load())))
			return
		}
		slow(20*time.Millisecond)(n, w, nil) // beside which the machine's hiccups are small
	}
	c := quick(t, s)
	c.Concurrency, c.P99Below, c.MaxErrors, c.Tolerance = nil, 9*time.Second, 0.1, 1
	p := prepared(t, c)
	r = &run{plan: p, began: time.Now(), result: p.empty(), tell: func(progress Progress) {
		if progress.Done {
			trial.Add(1)
		}
	}}
	r.result.Search = &Search{Level: -1}
	trial.Store(1)
	passed, err := r.trial(t.Context(), 200)
	if err != nil {
		t.Fatal(err)
	}
	return r, passed
}

func TestTheSearchFindsNoMoreThanTheServerCanDo(t *testing.T) {
	s := newStandIn(t)
	var one sync.Mutex
	s.answer = func(_ int64, w http.ResponseWriter, _ []byte) {
		one.Lock()
		time.Sleep(5 * time.Millisecond) // so that 200 a second is the most
		one.Unlock()
		_, _ = io.WriteString(w, goodAnswer)
	}
	c := quick(t, s)
	c.Concurrency, c.P99Below, c.Precision, c.MaxInFlight = nil, 9*time.Second, 0.2, 64
	r := ran(t, c)
	if r.Levels[0].Concurrency != 1 || r.Levels[0].Purpose == "" {
		t.Errorf("it begins with %+v", r.Levels[0])
	}
	if r.Search == nil || r.Search.Rate > 200/keptUp {
		t.Fatalf("found %+v", r.Search)
	}
	if r.Search.Interrupted {
		t.Error("it went to its end")
	}
	if i := r.Search.Level; i >= 0 && (r.Levels[i].Rate != r.Search.Rate || !*r.Levels[i].Passed) {
		t.Errorf("found %+v, which is level %+v", r.Search, r.Levels[i])
	}
}

func TestAnInterruptedSearchIsSaidToBeSo(t *testing.T) {
	c := quick(t, newStandIn(t))
	c.Concurrency, c.P99Below = nil, 9*time.Second
	r, err := interrupted(t, c)
	if !errors.Is(err, context.Canceled) || r.Search == nil || !r.Search.Interrupted {
		t.Errorf("%v, %+v", err, r.Search)
	}
}

func TestATrialPassesIfTheServerHoldsTheRate(t *testing.T) {
	level := func(settled bool, tails ...float64) Level { // 100 requests a second, as many answered
		l := Level{Rate: 100, Settled: settled, Throughput: 100, Images: 600, Requests: 600, AllImages: 2000, Latency: Latency{P99MS: tails[len(tails)-1]}}
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
