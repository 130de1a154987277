package inference

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestParallelSessionGivesTheSamePredictions(t *testing.T) {
	r := newRepository(t)
	names := r.real("", "mobilenetv2-12-int8", "yolox-nano")
	single := r.synced(func(c *Config) { c.ThreadsAlone = 1 })
	parallel := r.synced(func(c *Config) { c.ThreadsAlone = 4 })
	for _, name := range names {
		v := parallel.models[name].served[0]
		<-v.parallel.done
		value, _ := runnersOf.Load(v.sessions[0])
		runs := &value.(*testRunners).parallel
		runs.Store(0)
		list := samples(t)
		for _, s := range list {
			var predictions [2]best
			for i, e := range []*Engine{single, parallel} {
				got, err := e.Predict(t.Context(), Request{Model: name, Image: s.data})
				if err != nil {
					t.Fatal(err)
				}
				predictions[i] = bestOf(got.Prediction)
			}
			one, all := predictions[0], predictions[1]
			if one.label != all.label || math.Abs(one.score-all.score) > 1e-4 {
				t.Errorf("%s, %s: on one core %+v, in parallel %+v", name, s.name, one, all)
			}
		}
		if got := runs.Load(); got != int64(len(list)) {
			t.Errorf("%s: %d of %d runs were parallel", name, got, len(list))
		}
		atRest(t, parallel)
	}
}

func TestParallelLoadThatCannotBeStoppedDelaysNoClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := false
		v := &version{parallel: &parallelLoad{cancel: func() { stopped = true }, done: make(chan struct{})}}
		if err := v.close(); err != nil || !stopped {
			t.Errorf("%v, stopped %v", err, stopped)
		}
	})
}

func TestEndOfLoadsEndsParallelLoads(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors")
	e := r.synced(func(c *Config) { c.ThreadsAlone = 2 })
	v := e.models["colors"].served[0]
	<-v.parallel.done
	e.stopLoads(errClosed)
	if err := loadParallel(e.loads, v.sessions, 3); !errors.Is(err, errClosed) {
		t.Errorf("after the end of loads: %v", err)
	}
}

// TestParallelSessionsWaitWhereModelsComeAndGo also ends the wait with the load's context.
func TestParallelSessionsWaitWhereModelsComeAndGo(t *testing.T) {
	budgeted := Config{MemoryBudget: 1}
	if got := (Config{}).parallelDelay(false); got != 0 {
		t.Errorf("without a budget the delay is %v", got)
	}
	if got := budgeted.parallelDelay(true); got != 0 {
		t.Errorf("of a kept model it is %v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !waitFor(t.Context(), budgeted.parallelDelay(false)) || time.Since(began) != budgetDelay {
			t.Errorf("waited %v, want %v", time.Since(began), budgetDelay)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if waitFor(ctx, budgetDelay) || time.Since(began) != budgetDelay {
			t.Error("the wait does not end with its context")
		}
	})
}

func TestLargeModelsHaveNoParallelSessionByDefault(t *testing.T) {
	for name, test := range map[string]struct {
		size    int64
		threads int
		want    int
	}{
		"a model of the usual size":              {maxParallelWeights, 0, min(6, runtime.GOMAXPROCS(0))},
		"a large model":                          {maxParallelWeights + 1, 0, 1},
		"a large model with a number of threads": {maxParallelWeights + 1, 3, 3},
		"a small model with one thread":          {1000, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Config{Threads: 1, Workers: 6, ThreadsAlone: test.threads}).parallelThreads(test.size); got != test.want {
				t.Errorf("got %d threads; want %d", got, test.want)
			}
		})
	}
}
