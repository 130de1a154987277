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
		replicas int
		load     float64 // for each
		sick     func(b *box)
		limit    time.Duration
		why      string
	}{
		"without load":                      {2, 0, func(b *box) { b.late = true }, time.Minute, "did not answer 3 predictions in time"},
		"under a little load":               {2, 2, func(b *box) { b.late = true }, time.Minute, "answer"},
		"under load that others answer":     {2, 50, func(b *box) { b.late = true }, time.Minute, "answer"},
		"alone, without load":               {1, 0, func(b *box) { b.late = true }, time.Minute, "did not answer 3 predictions in time"},
		"alone, under load":                 {1, 50, func(b *box) { b.late = true }, 2 * time.Minute, "nothing else either"},
		"its requests alone, others do":     {3, 10, func(b *box) { b.fails = 1 }, time.Minute, "while other replicas answer theirs"},
		"it says that it failed, each time": {2, 10, func(b *box) { b.lies = true }, time.Minute, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1, 0, c.replicas)
			w.load = c.load
			w.ready(c.replicas)
			c.sick(w.all()[0])
			w.until("it is replaced", c.limit, func() bool { return w.m.slots[0].restarts == 1 })
			if why := w.m.slots[0].why; !strings.Contains(why, c.why) {
				t.Errorf("reason %q, want %q", why, c.why)
			}
			w.ready(c.replicas)
			w.wait(10 * time.Minute)
			for _, s := range w.m.slots[1:] {
				if s.restarts > 0 {
					t.Errorf("%s, which was well, was replaced: %s", s.Name, s.why)
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
					w.share = share
					w.run(20 * time.Minute)
					for _, s := range w.m.slots {
						if s.restarts > 0 || s.display() != Ready {
							t.Errorf("%s is %s after %d restarts: %s", s.Name, s.display(), s.restarts, s.why)
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
		w.share = 0
		for range 600 {
			w.run(3 * time.Second)
			there := 0
			for _, s := range w.m.slots {
				if s.failed {
					t.Fatalf("sequence %d: %s failed for good: %s", seed, s.Name, s.why)
				}
				if s.display() == Ready {
					there++
				}
			}
			if there < 2 {
				t.Fatalf("sequence %d: %d of 3 are ready", seed, there)
			}
		}
		w.share = 1
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
			b.fails = 0.2
		}
		w.run(time.Hour)
		for _, s := range w.m.slots {
			if s.restarts > 0 {
				t.Errorf("sequence %d: %s was replaced: %s", seed, s.Name, s.why)
			}
		}
	}
}

func TestPausedContainerGetsNoRequests(t *testing.T) {
	w := newWorld(t, 1, 0, 2)
	w.ready(2)
	b := w.all()[0]
	b.paused, b.mute = true, true
	w.m.step(w.now, seen{b.container})
	if w.state(0) != Unready || !strings.Contains(w.m.slots[0].cur.why, "paused") {
		t.Fatalf("it is %s: %s", w.state(0), w.m.slots[0].cur.why)
	}
	b.paused, b.mute = false, false
	w.until("it goes on", 10*time.Second, func() bool { return w.state(0) == Ready })
}

// What a prediction's outcome says, from a real server.
func TestVerdictsOfPredictions(t *testing.T) {
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   verdict
	}{
		"answered":               {answer(200), good},
		"no default model":       {answer(404), silent},
		"busy":                   {answer(429), silent},
		"a fault of the server":  {answer(500), bad},
		"a fault before it":      {answer(502), bad},
		"not ready after all":    {answer(503), late},
		"out of time":            {answer(504), late},
		"a 5xx that is not ours": {answer(507), bad},
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
			if got := p.predict(context.Background(), predict{url: server.URL}); got.verdict != c.want || (got.reason == "") != (c.want == good || c.want == silent) {
				t.Errorf("%+v, want %d", got, c.want)
			}
		})
	}
}
