package inference

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fovea/internal/apierror"
)

func TestALoadThatNeverEndsFailsInItsTimeAndHoldsNothingUp(t *testing.T) {
	for file, says := range map[string]string{
		"colors-endless":   "terminated: it did not load within inference.load_timeout, 500ms",
		"colors-slow-node": "it did not load within inference.load_timeout, 500ms; what it computes cannot be stopped",
	} {
		t.Run(file, func(t *testing.T) {
			r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
			e := r.synced(nil)
			e.cfg.LoadTimeout = 500 * time.Millisecond // from now on, when nothing loads
			r.define("bad", colors).add("bad", 1, file)
			failures := &SyncError{}
			if err := e.Sync(t.Context()); !errors.As(err, &failures) || len(failures.Failures) != 1 || !strings.Contains(err.Error(), says) {
				t.Errorf("Sync said %v, want %s", err, says)
			}
			if got := states(e); got != "bad/1:failed colors/1:ready" {
				t.Error(got)
			}
			failed := e.models["bad"].versions[0]
			if err := e.Refresh(t.Context()); err != nil || e.models["bad"].versions[0] != failed {
				t.Errorf("it is tried again at once; %v", err)
			}
		})
	}
}

func TestALoadThatHangsHoldsNoOtherLoadUp(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors").define("bad", colors).add("bad", 1, "colors-endless")
	e := r.engine(func(c *Config) { c.LoadTimeout = time.Hour })
	for _, name := range []string{"colors", "late", "later"} {
		r.define(name, colors).add(name, 1, "colors")
		if err := e.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, name, func() bool { return strings.Contains(states(e), name+"/1:ready") })
	}
	moment, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Await(moment, false); err == nil || !strings.Contains(err.Error(), "model bad version 1: still loading") {
		t.Errorf("Await said %v", err)
	}
	if err := e.Await(t.Context(), true); err == nil || strings.Contains(err.Error(), "deadline") { // none is required
		t.Errorf("Await of required models said %v", err)
	}
	r.remove("bad")
	if err := e.Refresh(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "the end of a load that nobody wants", func() bool { return !strings.Contains(states(e), "bad") })
}

func TestARequestThatNeverEndsLeavesItsInstanceToOthers(t *testing.T) {
	e := newRepository(t).define("colors", colors+"batching: {max_size: 2, max_delay: 20ms}\n").add("colors", 1, "colors-red-endless").
		synced(func(c *Config) { c.Instances, c.Workers = 1, 1 })
	for range 2 {
		var wg sync.WaitGroup
		for _, c := range []struct {
			name string
			data []byte
		}{{"endless", plain(t, red, 8, 8)}, {"beside it", plain(t, green, 8, 8)}} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				_, err := e.Predict(ctx, Request{Image: c.data})
				if code := apierror.From(err).Code; err != nil && code != apierror.DeadlineExceeded || err == nil && c.name == "endless" {
					t.Errorf("%s: %v", c.name, err)
				}
			})
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if got, err := e.Predict(ctx, Request{Image: plain(t, green, 8, 8)}); first(got) != "green" {
			t.Errorf("after it: %q, %v", first(got), err)
		}
		cancel()
	}
}

func TestTerminateEndsRunsThatOutliveTheShutdown(t *testing.T) {
	e := newRepository(t).define("colors", colors).add("colors", 1, "colors-red-endless").synced(nil)
	over := make(chan error, 1)
	go func() {
		_, err := e.Predict(context.Background(), Request{Image: plain(t, red, 8, 8)})
		over <- err
	}()
	until(t, "the run", func() bool { return e.Models()[0].Queue == 1 })
	moment, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := e.Close(moment); err == nil || !strings.Contains(err.Error(), "colors version 1") {
		t.Errorf("Close said %v during the run", err)
	}
	e.Terminate()
	if err := <-over; apierror.From(err).Code != apierror.Draining {
		t.Errorf("the request got %v", err)
	}
}

func TestARunThatNobodyWaitsForIsEnded(t *testing.T) {
	for _, test := range []struct {
		name    string
		leave   []time.Duration // of the requests in the batch, after the start
		takes   time.Duration   // of the run; 0: for ever
		runs    int
		endedAt time.Duration
	}{
		{"a margin after the last request has gone", []time.Duration{time.Second, 3 * time.Second}, 0, 1, 3*time.Second + runMargin},
		{"not while somebody waits", []time.Duration{time.Second, time.Hour}, 0, 1, time.Hour + runMargin},
		{"not when it ends by itself within the margin", []time.Duration{time.Second, time.Second}, time.Second + runMargin/2, 1, time.Second + runMargin/2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeDevice{takes: test.takes, ends: test.takes == 0}
				s := fakeScheduler(t, f, 1, len(test.leave), time.Millisecond)
				var last ran
				var at time.Duration
				begin := time.Now()
				s.onRun = func(r ran) { last, at = r, time.Since(begin) }
				var wg sync.WaitGroup
				for i, leave := range test.leave {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), leave)
						defer cancel()
						if _, err := ask(ctx, s, uint64(i), 0); !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("request %d got %v", i, err)
						}
					})
				}
				wg.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				if len(f.runs) != test.runs || at.Round(10*time.Millisecond) != test.endedAt || errors.Is(last.err, errAbandoned) != f.ends {
					t.Errorf("%d runs; the last ended after %s with %v; want %s", len(f.runs), at, last.err, test.endedAt)
				}
				f.takes, f.ends = time.Second, false
				if got, err := ask(t.Context(), s, 7, 0); got != 7 || err != nil {
					t.Errorf("the next request got %d, %v", got, err)
				}
				rested(t, s, f)
			})
		})
	}
}
