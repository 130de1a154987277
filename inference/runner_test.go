package inference

import (
	"context"
	"sync"
	"sync/atomic"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
)

// testRunner is a batch of a test engine. A test can replace what its runs do, once the version is ready.
type testRunner struct {
	batcher.Runner
	replaced atomic.Pointer[func(ctx context.Context, run func() error) error]
	parallel *atomic.Int64 // runs on all cores, of the session
}

// testRunners are the batches of a session.
type testRunners struct {
	list     []*testRunner
	parallel atomic.Int64
}

var runnersOf sync.Map // *onnx.Session → *testRunners

// newTestRunner is the newRunner of test engines.
func newTestRunner(ctx context.Context, s *onnx.Session, spec onnx.BatchSpec) (batcher.Runner, error) {
	r, err := newRunner(ctx, s, spec)
	if err != nil {
		return nil, err
	}
	value, _ := runnersOf.LoadOrStore(s, &testRunners{})
	all := value.(*testRunners)
	t := &testRunner{Runner: r, parallel: &all.parallel}
	all.list = append(all.list, t) // a session's batches are made one after the other
	return t, nil
}

func (t *testRunner) Run(ctx context.Context, rows int) error {
	return t.intercept(ctx, func() error { return t.Runner.Run(ctx, rows) })
}

func (t *testRunner) RunParallel(ctx context.Context, rows int) error {
	t.parallel.Add(1)
	return t.intercept(ctx, func() error { return t.Runner.RunParallel(ctx, rows) })
}

func (t *testRunner) intercept(ctx context.Context, run func() error) error {
	if f := t.replaced.Load(); f != nil {
		return (*f)(ctx, run)
	}
	return run()
}

// replaceRuns lets f do every run of a version from now on; nil undoes that.
func replaceRuns(v *version, f func(ctx context.Context, run func() error) error) {
	for _, s := range v.sessions {
		value, _ := runnersOf.Load(s)
		for _, r := range value.(*testRunners).list {
			if f == nil {
				r.replaced.Store(nil)
			} else {
				r.replaced.Store(&f)
			}
		}
	}
}

// hold makes every run of a version wait until open is closed, and then fail with err unless it is nil.
func hold(v *version, err error) (entered chan struct{}, open chan struct{}) {
	entered, open = make(chan struct{}, 1000), make(chan struct{})
	replaceRuns(v, func(_ context.Context, run func() error) error {
		entered <- struct{}{}
		<-open
		if err != nil {
			return err
		}
		return run()
	})
	return entered, open
}
