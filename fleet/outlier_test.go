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

func TestReplicaWithoutPredictionsIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		replicas  int
		load      float64 // for each
		unhealthy func(b *fakeContainer)
		limit     time.Duration
		reason    string
	}{
		"without load":              {2, 0, func(b *fakeContainer) { b.slow = true }, time.Minute, "3 predictions failed or timed out"},
		"light load":                {2, 2, func(b *fakeContainer) { b.slow = true }, time.Minute, "predictions failed or timed out"},
		"load that others answer":   {2, 50, func(b *fakeContainer) { b.slow = true }, time.Minute, "predictions failed or timed out"},
		"single replica, no load":   {1, 0, func(b *fakeContainer) { b.slow = true }, time.Minute, "3 predictions failed or timed out"},
		"single replica, load":      {1, 50, func(b *fakeContainer) { b.slow = true }, 2 * time.Minute, "no other prediction succeeded either"},
		"only client requests fail": {3, 10, func(b *fakeContainer) { b.failShare = 1 }, time.Minute, "while other replicas answered theirs"},
		"fails with 500":            {2, 10, func(b *fakeContainer) { b.canaryFails = true }, time.Minute, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, c.replicas)
			w.load = c.load
			w.ready(c.replicas)
			c.unhealthy(w.all()[0])
			w.until("replaced", c.limit, func() bool { return w.m.placements[0].restarts == 1 })
			if reason := w.m.placements[0].reason; !strings.Contains(reason, c.reason) {
				t.Errorf("reason %q, want %q", reason, c.reason)
			}
			w.ready(c.replicas)
			w.wait(10 * time.Minute)
			for _, s := range w.m.placements[1:] {
				if s.restarts > 0 {
					t.Errorf("healthy %s was replaced: %s", s.Name, s.reason)
				}
			}
		})
	}
}

// Overload alone removes no replica that answers some requests.
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

// When nothing is answered at all, replicas are replaced one at a time, and none fails permanently.
func TestTotalOverloadKeepsTheFleetRunning(t *testing.T) {
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
					t.Fatalf("sequence %d: %s failed: %s", seed, s.Name, s.reason)
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

// Some requests fail on any replica.
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

func TestPausedContainerIsNotServing(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	b := w.all()[0]
	b.paused, b.unresponsive = true, true
	w.m.step(w.now, seen{b.container})
	if w.state(0) != Unready || !strings.Contains(w.m.placements[0].current.reason, "paused") {
		t.Fatalf("it is %s: %s", w.state(0), w.m.placements[0].current.reason)
	}
	b.paused, b.unresponsive = false, false
	w.until("ready again", 10*time.Second, func() bool { return w.state(0) == Ready })
}

// The verdicts for real responses.
func TestVerdictsOfPredictions(t *testing.T) {
	respond := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   verdict
	}{
		"answered":         {respond(200), good},
		"no default model": {respond(404), inconclusive},
		"busy":             {respond(429), inconclusive},
		"internal error":   {respond(500), bad},
		"error of a proxy": {respond(502), bad},
		"not ready":        {respond(503), late},
		"timeout":          {respond(504), late},
		"unknown 5xx":      {respond(507), bad},
		"no response":      {func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, late},
		"connection lost":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, late},
		"endless response": {func(w http.ResponseWriter, r *http.Request) {
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
			p := newProber(30 * time.Millisecond)
			if name != "no response" && name != "endless response" {
				p.canaryTimeout = limit
			}
			if got := p.predict(context.Background(), predict{url: server.URL}); got.verdict != c.want || (got.reason == "") != (c.want == good || c.want == inconclusive) {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}
