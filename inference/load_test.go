package inference

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/inference/batcher"
	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// countingRunner notes the rows of its runs.
type countingRunner struct {
	rows [][]byte
	runs [][]byte
	err  error
}

func (c *countingRunner) Input(_, row int) []byte { return c.rows[row] }

func (c *countingRunner) Run(_ context.Context, rows int) error {
	c.runs = append(c.runs, bytes.Join(c.rows[:rows], nil))
	return c.err
}

func (c *countingRunner) Reshape(int, []int64) error                   { return nil }
func (c *countingRunner) RunRow(context.Context, int) error            { return nil }
func (c *countingRunner) HasParallel() bool                            { return false }
func (c *countingRunner) RunParallel(ctx context.Context, n int) error { return c.Run(ctx, n) }
func (c *countingRunner) Outputs(int) []postprocess.Tensor             { return nil }
func (c *countingRunner) Close() error                                 { return nil }

// warmedUp warms a version of one group up and returns what ran.
func warmedUp(t *testing.T, warmup int, err error, buckets ...int) (runs [][]byte, warmErr error) {
	t.Helper()
	v := &version{inputs: make([]repository.TensorInfo, 1), batcher: batcher.New(t.Context(), func(batcher.Run) {})}
	v.definition.Warmup = warmup
	var runners []*countingRunner
	g, addErr := v.batcher.Add(batcher.GroupConfig{Device: "cpu", Instances: 1, Buckets: buckets, Inputs: 1}, func() (batcher.Runner, error) {
		c := &countingRunner{err: err}
		for range slices.Max(buckets) {
			c.rows = append(c.rows, []byte{1})
		}
		runners = append(runners, c)
		return c, nil
	})
	if addErr != nil {
		t.Fatal(addErr)
	}
	warmErr = v.warmUp(t.Context(), g)
	if err := v.close(); err != nil {
		t.Error(err)
	}
	return runners[0].runs, warmErr
}

func TestWarmUpRunsEveryBucketAsOftenAsTheDefinitionSays(t *testing.T) {
	once := [][]byte{{0, 0, 0, 0}, {0, 0}, {0}}
	for warmup, want := range map[int][][]byte{0: nil, 1: once, 2: append(once, once...)} {
		if runs, err := warmedUp(t, warmup, nil, 1, 2, 4); !reflect.DeepEqual(runs, want) || err != nil {
			t.Errorf("warmup %d: runs %v, %v; want %v", warmup, runs, err, want)
		}
	}
}

func TestFailedWarmUpFailsTheLoad(t *testing.T) {
	if _, err := warmedUp(t, 1, errors.New("out of memory"), 1); err == nil || err.Error() != "warm-up on cpu: out of memory" {
		t.Error(err)
	}
}

func TestInstancesAreThoseOfTheDefinitionThenTheServers(t *testing.T) {
	r := newRepository(t).define("named", colors+"instances: [{device: cpu, count: 3}]\n").add("named", 1, "colors")
	r.define("other", colors).add("other", 1, "colors")
	e := r.synced(func(c *Config) { c.Instances = 2 })
	for name, want := range map[string]int{"named": 3, "other": 2} {
		if got := instancesOf(e.models[name].served[0]); got != want {
			t.Errorf("%s has %d instances, want %d", name, got, want)
		}
	}
}

// instancesOf is the number of instances in the first group of a version.
func instancesOf(v *version) int {
	value, _ := runnersOf.Load(v.sessions[0])
	batches := len(value.(*testRunners).list)
	for n := 1; ; n++ {
		if 2*n+min(n, 4) >= batches { // see batcher.GroupConfig
			return n
		}
	}
}

func TestEndlessLoadTimesOut(t *testing.T) {
	for file, says := range map[string]string{
		"colors-endless":   "terminated: not loaded within inference.load_timeout, 500ms",
		"colors-slow-node": "not loaded within inference.load_timeout, 500ms; its computation cannot be stopped",
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
			if err := e.StartSync(t.Context()); err != nil || e.models["bad"].versions[0] != failed {
				t.Errorf("it is retried immediately; %v", err)
			}
		})
	}
}

func TestHangingLoadDelaysNoOther(t *testing.T) {
	r := newRepository(t).define("colors", colors).add("colors", 1, "colors").define("bad", colors).add("bad", 1, "colors-endless")
	e := r.engine(func(c *Config) { c.LoadTimeout = time.Hour })
	for _, name := range []string{"colors", "late", "later"} {
		r.define(name, colors).add(name, 1, "colors")
		if err := e.StartSync(t.Context()); err != nil {
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
	if err := e.StartSync(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "the end of a load that is no longer wanted", func() bool { return !strings.Contains(states(e), "bad") })
}

func TestEndlessRunIsTerminated(t *testing.T) {
	e := newRepository(t).define("colors", colors+"batching: {max_size: 2, max_delay: 20ms}\n").add("colors", 1, "colors-red-endless").
		synced(func(c *Config) { c.Instances, c.Workers = 1, 1 })
	for range 2 {
		var wg sync.WaitGroup
		for _, c := range []struct {
			name string
			data []byte
		}{{"endless", plain(t, red, 8, 8)}, {"other", plain(t, green, 8, 8)}} {
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

func TestTerminateEndsRunsAfterTheShutdown(t *testing.T) {
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
