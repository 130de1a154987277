package loadtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slow answers well after a while.
func slow(d time.Duration) func(int64, http.ResponseWriter, []byte) {
	return func(_ int64, w http.ResponseWriter, _ []byte) {
		time.Sleep(d)
		_, _ = io.WriteString(w, goodAnswer)
	}
}

func TestClosedLoopKeepsItsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = slow(5 * time.Millisecond)
		c := quick(t, s)
		c.Concurrency = []int{1, 3}
		p := prepared(t, s, c)
		for i, want := range []int64{1, 3} {
			s.reset()
			p.config.Concurrency = c.Concurrency[i : i+1]
			r, err := p.Run(t.Context(), func(Progress) {})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.peak.Load(); got != want {
				t.Errorf("%d requests in flight, want %d", got, want)
			}
			l := r.Levels[0]
			if l.Failed > 0 || l.Requests == 0 || l.Images != l.Requests || int64(l.Requests) > s.posts.Load() {
				t.Errorf("%+v of %d", l, s.posts.Load())
			}
			// No request can be answered faster than the server sleeps, nor more a second than that allows.
			if l.Latency.MinMS < 5 || l.Throughput > float64(want)*200 {
				t.Errorf("fastest %g ms, %g a second", l.Latency.MinMS, l.Throughput)
			}
			if a, b := s.bodies["aaaa"], s.bodies["bbb"]; a-b > 1 || b-a > 1 {
				t.Errorf("the images are not sent in turn: %v", s.bodies)
			}
		}
	})
}

func TestOpenLoopLatencyCountsFromDueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = slow(20 * time.Millisecond)
		c := quick(t, s)
		// One request at a time, each of 20 ms, and one due every 5 ms: the nth answer comes n·20 ms after the start at the
		// earliest, and was due at n·5 ms. A tool that waits for the answer before it counts would see 20 ms for all.
		c.Concurrency, c.Rates, c.MaxInFlight = nil, []float64{200}, 1
		r := ran(t, s, c)
		l := r.Levels[0]
		all := 0
		for _, w := range l.Windows {
			all += int(w.Throughput*w.Seconds + 0.5)
		}
		if least := float64(all-1) * 15; l.Latency.MaxMS < least || l.LagP99MS < least/2 {
			t.Errorf("slowest %g ms and lag %g ms after %d requests; want at least %g ms", l.Latency.MaxMS, l.LagP99MS, all, least)
		}
		if l.Stable {
			t.Error("it cannot be stable")
		}
		if !strings.Contains(strings.Join(r.Notes, "\n"), "late") {
			t.Errorf("the notes do not say that requests were late: %q", r.Notes)
		}
	})
}

func TestOpenLoopDoesNotWaitForResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		release := make(chan struct{})
		s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
			if n == 20 { // the others wait for the twentieth
				close(release)
			}
			<-release
			_, _ = io.WriteString(w, goodAnswer)
		}
		c := quick(t, s)
		c.URL, c.Concurrency, c.Rates, c.Arrivals = s.URL+"/foreign", nil, []float64{500}, Poisson
		c.Images = folder(t, map[string]string{"a.jpg": "a"})
		p := &Plan{config: c, link: link{dial: s.dial}, target: Target{URL: c.URL}, bodies: []body{{data: []byte("a"), contentType: "image/jpeg", images: []int{0}}},
			checker: checker{images: []Image{{Name: "a.jpg"}}}}
		r, err := p.Run(t.Context(), func(Progress) {})
		if err != nil || r.Levels[0].Failed > 0 || s.peak.Load() < 20 {
			t.Errorf("%v; %d requests in flight; %+v", err, s.peak.Load(), r.Levels)
		}
	})
}

func TestFailuresAreCountedByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		probes := int64(2)
		s.answer = func(n int64, w http.ResponseWriter, body []byte) {
			switch {
			case n <= probes || n%4 == 0:
				_, _ = io.WriteString(w, goodAnswer)
			case n%4 == 1:
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = io.WriteString(w, `{"code":"queue_full"}`)
			case n%4 == 2:
				_, _ = io.WriteString(w, strings.Replace(goodAnswer, "967", "1", 1))
			default:
				panic(http.ErrAbortHandler)
			}
		}
		c := quick(t, s)
		c.Concurrency = []int{1}
		c.Expect.Classes = map[string]string{"a.jpg": "967", "b.png": "967"}
		l := ran(t, s, c).Levels[0]
		n := l.Failures
		if len(n) != 3 || n["429 queue_full"] == 0 || n[kindClass] == 0 || n[kindTruncated] == 0 || n["429 queue_full"]+n[kindClass]+n[kindTruncated] != l.AllFailed() {
			t.Errorf("failures %v of %d", n, l.AllFailed())
		}
		// They come in turn, so a quarter is good.
		if l.Images < l.Failed/3-1 || l.Images > l.Failed/3+1 {
			t.Errorf("%d good, %d failed", l.Images, l.Failed)
		}
	})
}

func TestFailingLevelEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = func(n int64, w http.ResponseWriter, _ []byte) {
			if n > 2 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, goodAnswer)
		}
		l := ran(t, s, quick(t, s)).Levels[0]
		if l.Ended != endedFailing || len(l.Windows) != 2 || l.Stable || l.Throughput != 0 || l.Failures["HTTP 500"] != l.AllFailed() {
			t.Errorf("%+v", l)
		}
	})
}

func TestServerMetricsAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = slow(time.Millisecond)
		l := ran(t, s, quick(t, s)).Levels[0]
		if l.Server == nil || len(l.Server.Stages) != 1 || l.Server.Stages[0].Name != "infer" || l.Server.Stages[0].MeanMS != 5 {
			t.Errorf("got %+v", l.Server)
		}
		c := quick(t, s)
		c.Metrics = "none"
		if l := ran(t, s, c).Levels[0]; l.Server != nil {
			t.Errorf("without metrics: %+v", l.Server)
		}
	})
}

func TestMissingStagesAreNoted(t *testing.T) {
	const gateway = "fovea_gateway_retries_total 0\nprocess_cpu_seconds_total 7\n"
	for _, test := range []struct {
		name, metrics string
		change        func(s *fakeServer, c *Config)
		want          bool
	}{
		{"Fovea's own", "", func(*fakeServer, *Config) {}, false},
		{"a gateway's before Fovea", gateway, func(*fakeServer, *Config) {}, true},
		{"another server's", gateway, func(s *fakeServer, c *Config) { c.URL, c.Metrics = s.URL+"/foreign", s.URL+"/metrics" }, false},
	} {
		t.Run(test.name, inBubble(func(t *testing.T) {
			s := newFakeServer(t)
			s.metrics = test.metrics
			c := quick(t, s)
			test.change(s, &c)
			r := ran(t, s, c)
			if said := strings.Contains(strings.Join(r.Notes, "\n"), s.URL+"/metrics has no stages"); said != test.want {
				t.Errorf("notes %q", r.Notes)
			}
		}))
	}
}

func TestOtherServerWithATemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = func(_ int64, w http.ResponseWriter, _ []byte) { _, _ = io.WriteString(w, `{"label":"cat"}`) }
		c := quick(t, s)
		c.URL, c.Header = s.URL+"/foreign?x=1", http.Header{"Authorization": {"Bearer x"}}
		c.Body = BodyConfig{Kind: Templated, Template: `<{{.Name}}:{{.Base64}}>`, ContentType: "text/x-image", Images: 1}
		c.Expect = Expectation{Classes: map[string]string{"a.jpg": "cat", "b.png": "dog"}, At: "label"}
		l := ran(t, s, c).Levels[0]
		if s.bodies["<a.jpg:YWFhYQ==>"] == 0 || s.bodies["<b.png:YmJi>"] == 0 || len(s.bodies) != 2 {
			t.Errorf("sent %v", s.bodies)
		}
		if s.headers.Get("Authorization") != "Bearer x" || s.headers.Get("Content-Type") != "text/x-image" || s.headers.Get("X-Vegeta-Seq") != "" {
			t.Errorf("headers %v", s.headers)
		}
		if n := l.Failures[kindClass]; n == 0 || n != l.AllFailed() || l.AllImages < n-2 || l.AllImages > n+2 {
			t.Errorf("%d good, failures %v", l.AllImages, l.Failures)
		}
	})
}

// interrupted runs a test that is interrupted after its first level.
func interrupted(t *testing.T, s *fakeServer, c Config) (*Result, error) {
	t.Helper()
	p := prepared(t, s, c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return p.Run(ctx, func(progress Progress) {
		if progress.Done {
			cancel()
		}
	})
}

func TestInterruptedTestKeepsItsResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		c := quick(t, s)
		c.Concurrency = []int{1, 1}
		r, err := interrupted(t, s, c)
		if !errors.Is(err, context.Canceled) || r == nil || len(r.Levels) != 1 {
			t.Errorf("%v, %+v", err, r)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		s.answer = slow(30 * time.Millisecond)
		c := quick(t, s)
		c.Window, c.WindowCount = 300*time.Millisecond, 1
		var seen []Progress
		_, err := prepared(t, s, c).Run(t.Context(), func(p Progress) { seen = append(seen, p) })
		if err != nil || len(seen) < 3 {
			t.Fatalf("%v, %d reports", err, len(seen))
		}
		last := seen[len(seen)-1]
		if !last.Done || last.Level.Concurrency != 2 || seen[0].Done || seen[len(seen)-2].Window == 0 {
			t.Errorf("%+v", seen)
		}
	})
}
