package inference

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// terminateTime is how long a load may take to end after it was told to: ONNX Runtime looks at that between two nodes of a
// model.
const terminateTime = 2 * time.Second

// errUnwanted is why a load is ended that the repository has asked for and does not any more.
var errUnwanted = errors.New("the repository does not ask for it any more")

// load tries to load one version and settles its model. A try that does not end in its time, or when the engine is closed,
// fails; what of it cannot be stopped goes on behind, frees what it made when it returns, and holds nothing else up.
func (e *Engine) load(m *model, v *version) {
	defer close(v.done)
	begin := time.Now()
	state, err := Ready, e.tryLoad(m, v)
	if err != nil {
		state = Failed
		e.ranInto(err)
	} else {
		e.widen(v)
	}
	v.mu.Lock()
	v.took = time.Since(begin)
	v.mu.Unlock()
	say := v.become(state, err)
	say()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(m)
}

// tryLoad loads the version within the time for it.
func (e *Engine) tryLoad(m *model, v *version) error {
	limit := e.cfg.LoadTimeout
	ctx, cancel := context.WithTimeoutCause(v.loading, limit, fmt.Errorf("it did not load within inference.load_timeout, %s", limit))
	result := make(chan error, 1)
	var givenUp atomic.Bool
	e.computing.Add(1)
	go func() {
		result <- v.load(ctx)
		cancel()
		v.stop(nil)
		e.computing.Add(-1)
		close(v.ended)
		if givenUp.Load() { // then nothing is left of it now
			e.mu.Lock()
			defer e.mu.Unlock()
			e.settle(m)
		}
	}()
	select {
	case <-v.ended:
		return <-result
	case <-ctx.Done():
	}
	select {
	case <-v.ended:
		return <-result
	case <-time.After(terminateTime):
		givenUp.Store(true)
		return fmt.Errorf("%w; what it computes cannot be stopped and goes on", context.Cause(ctx))
	}
}

// pause is how long a version that failed is not tried again.
func (v *version) pause() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return max(retryFailed, retryRatio*v.took)
}
