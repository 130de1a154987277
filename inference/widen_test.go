package inference

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// counted counts a runner's runs on all cores.
type counted struct {
	runner
	wide *atomic.Int64
}

func (c counted) RunParallel(ctx context.Context, rows int) error {
	c.wide.Add(1)
	return c.runner.RunParallel(ctx, rows)
}

func TestAImageAloneIsAnsweredOnAllCoresAndTheSame(t *testing.T) {
	r := newRepository(t)
	names := r.real("", "mobilenetv2-12-int8", "yolox-nano")
	narrow := r.synced(func(c *Config) { c.ThreadsAlone = 1 })
	wide := r.synced(func(c *Config) { c.ThreadsAlone = 4 })
	for _, name := range names {
		v := wide.models[name].served[0]
		<-v.widening.over
		var runs atomic.Int64
		for _, b := range v.scheduler.lanes[0].all {
			b.runner = counted{b.runner, &runs}
		}
		list := samples(t)
		for _, s := range list {
			var answers [2]best
			for i, e := range []*Engine{narrow, wide} {
				got, err := e.Predict(t.Context(), Request{Model: name, Image: s.data})
				if err != nil {
					t.Fatal(err)
				}
				answers[i] = bestOf(got.Prediction)
			}
			one, all := answers[0], answers[1]
			if one.label != all.label || math.Abs(one.score-all.score) > 1e-4 {
				t.Errorf("%s, %s: on one core %+v, on all %+v", name, s.name, one, all)
			}
		}
		if got := runs.Load(); got != int64(len(list)) {
			t.Errorf("%s: %d of %d runs took all cores", name, got, len(list))
		}
		atRest(t, wide)
	}
}

func TestWideningThatCannotBeStoppedHoldsNoEndUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		v := &version{widening: &widening{stop: func() { stopped = true }, over: make(chan struct{})}}
		if err := v.close(); err != nil || !stopped {
			t.Errorf("%v, stopped %v", err, stopped)
		}
	})
}

func TestTheEndOfLoadsEndsWidening(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.synced(func(c *Config) { c.ThreadsAlone = 2 })
	v := e.models["colors"].served[0]
	<-v.widening.over
	e.stopLoads(errClosed)
	if err := widen(e.loads, v.sessions, 3); !errors.Is(err, errClosed) {
		t.Errorf("after the end of loads: %v", err)
	}
}

func TestLargeModelsAreInMemoryOnceUnlessAskedForTwice(t *testing.T) {
	for name, test := range map[string]struct {
		size    int64
		threads int
		want    int
	}{
		"a model of the usual size":         {largestTwice, 0, min(6, runtime.GOMAXPROCS(0))},
		"a large model":                     {largestTwice + 1, 0, 1},
		"a large model that is asked for":   {largestTwice + 1, 3, 3},
		"a small model that is not to have": {1000, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Config{Threads: 1, Workers: 6, ThreadsAlone: test.threads}).threadsAlone(test.size); got != test.want {
				t.Errorf("got %d threads; want %d", got, test.want)
			}
		})
	}
}
