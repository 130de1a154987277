package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestReplicaThatPredictsNothingIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		replicas  int
		load      float64 // for each
		unhealthy func(b *fakeContainer)
		limit     time.Duration
		reason    string
	}{
		"without load":                      {2, 0, func(b *fakeContainer) { b.slow = true }, time.Minute, "did not answer 3 predictions in time"},
		"under a little load":               {2, 2, func(b *fakeContainer) { b.slow = true }, time.Minute, "answer"},
		"under load that others answer":     {2, 50, func(b *fakeContainer) { b.slow = true }, time.Minute, "answer"},
		"alone, without load":               {1, 0, func(b *fakeContainer) { b.slow = true }, time.Minute, "did not answer 3 predictions in time"},
		"alone, under load":                 {1, 50, func(b *fakeContainer) { b.slow = true }, 2 * time.Minute, "nothing else either"},
		"its requests alone, others do":     {3, 10, func(b *fakeContainer) { b.failShare = 1 }, time.Minute, "while other replicas answer theirs"},
		"it says that it failed, each time": {2, 10, func(b *fakeContainer) { b.canaryFails = true }, time.Minute, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, c.replicas)
			w.load = c.load
			w.ready(c.replicas)
			c.unhealthy(w.all()[0])
			w.until("it is replaced", c.limit, func() bool { return w.m.placements[0].restarts == 1 })
			if reason := w.m.placements[0].reason; !strings.Contains(reason, c.reason) {
				t.Errorf("reason %q, want %q", reason, c.reason)
			}
			w.ready(c.replicas)
			w.wait(10 * time.Minute)
			for _, s := range w.m.placements[1:] {
				if s.restarts > 0 {
					t.Errorf("%s, which was well, was replaced: %s", s.Name, s.reason)
				}
			}
		})
	}
}

// However little a fleet answers of what it is asked, load alone takes out no replica that answers some of it.
func TestOverloadRemovesNoReplicaThatServes(t *testing.T) {
	for _, replicas := range []int{1, 2, 4} {
		for _, share := range []float64{0.02, 0.1, 0.3, 0.5, 0.7, 0.9} {
			for seed := range uint64(3) {
				t.Run(fmt.Sprintf("%d replicas answer %.0f %%, sequence %d", replicas, 100*share, seed), func(t *testing.T) {
					w := newWorld(t, seed, 0, replicas)
					w.load = 50
					w.ready(replicas)
					w.successShare = share
					w.run(20 * time.Minute)
					for _, s := range w.m.placements {
						if s.restarts > 0 || s.displayState() != Ready {
							t.Errorf("%s is %s after %d restarts: %s", s.Name, s.displayState(), s.restarts, s.reason)
						}
					}
				})
			}
		}
	}
}

// Where nothing at all is answered, replicas are replaced one at a time, and none fails for good.
func TestOverloadInWhichNothingIsAnsweredKeepsAFleetGoing(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, 0, 3)
		w.load = 50
		w.ready(3)
		w.successShare = 0
		for range 600 {
			w.run(3 * time.Second)
			there := 0
			for _, s := range w.m.placements {
				if s.failed {
					t.Fatalf("sequence %d: %s failed for good: %s", seed, s.Name, s.reason)
				}
				if s.displayState() == Ready {
					there++
				}
			}
			if there < 2 {
				t.Fatalf("sequence %d: %d of 3 are ready", seed, there)
			}
		}
		w.successShare = 1
		w.ready(3)
	}
}

// A few of the requests fail wherever they are sent.
func TestRequestsThatFailEverywhereRemoveNoReplica(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(t, seed, 0, 3)
		w.load = 5
		w.ready(3)
		for _, b := range w.all() {
			b.failShare = 0.2
		}
		w.run(time.Hour)
		for _, s := range w.m.placements {
			if s.restarts > 0 {
				t.Errorf("sequence %d: %s was replaced: %s", seed, s.Name, s.reason)
			}
		}
	}
}

func TestPausedContainerGetsNoRequests(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	b := w.all()[0]
	b.paused, b.unresponsive = true, true
	w.m.step(w.now, seen{b.container})
	if w.state(0) != Unready || !strings.Contains(w.m.placements[0].current.reason, "paused") {
		t.Fatalf("it is %s: %s", w.state(0), w.m.placements[0].current.reason)
	}
	b.paused, b.unresponsive = false, false
	w.until("it goes on", 10*time.Second, func() bool { return w.state(0) == Ready })
}

// What a prediction's outcome says, from a real server.
func TestVerdictsOfPredictions(t *testing.T) {
	respond := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   verdict
	}{
		"answered":               {respond(200), good},
		"no default model":       {respond(404), inconclusive},
		"busy":                   {respond(429), inconclusive},
		"a fault of the server":  {respond(500), bad},
		"a fault before it":      {respond(502), bad},
		"not ready after all":    {respond(503), late},
		"out of time":            {respond(504), late},
		"a 5xx that is not ours": {respond(507), bad},
		"no answer":              {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, late},
		"the connection is lost": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, late},
		"an answer without end": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Millisecond)
			}
		}, late},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handle)
			defer server.Close()
			p, err := newProber(30 * time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if name != "no answer" && name != "an answer without end" {
				p.most = limit
			}
			if got := p.predict(context.Background(), predict{url: server.URL}); got.verdict != c.want || (got.reason == "") != (c.want == good || c.want == inconclusive) {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}
