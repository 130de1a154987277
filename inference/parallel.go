package inference

import (
	"context"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/cores"
)

// maxParallelWeights is the size of the largest model whose weights are kept in memory twice by default, in bytes.
const maxParallelWeights = 256 << 20

// parallelLoad is the background load of the parallel sessions and the engines of a version that is ready already.
type parallelLoad struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it no longer computes
}

// startParallel starts to load the parallel sessions, for images that are alone in the server, and to build engines. The version works without
// them, and neither its end nor the engine's waits for a load that cannot be stopped.
func (e *Engine) startParallel(v *version) {
	ctx, cancel := context.WithCancel(e.loads)
	v.parallel = &parallelLoad{cancel, make(chan struct{})}
	v.engines = newEngineBuilds(v)
	sessions, threads, done := v.sessions, e.cfg.parallelThreads(v.weights.Size), v.parallel.done
	delay := e.cfg.parallelDelay(v.definition.Memory.Keep)
	e.computing.Add(1)
	go func() {
		defer close(done)
		defer e.computing.Add(-1)
		defer cancel()
		if !waitFor(ctx, delay) {
			return
		}
		if err := loadParallel(ctx, sessions, threads); err != nil && ctx.Err() == nil {
			e.log.Warn("no parallel session: single images run on one core", "model", v.model, "version", v.name, "error", err)
		}
		v.engines.build(ctx, v, e.building)
	}()
}

// budgetDelay is how long a model is in memory before its parallel sessions are loaded, where others may need its memory: one that comes and
// goes has none.
const budgetDelay = 10 * time.Second

// parallelDelay is the time between the load of a model and that of its parallel sessions.
func (c Config) parallelDelay(keep bool) time.Duration {
	if c.MemoryBudget > 0 && !keep {
		return budgetDelay
	}
	return 0
}

// waitFor waits for a duration, and reports whether ctx has not ended meanwhile.
func waitFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func loadParallel(ctx context.Context, sessions []*onnx.Session, threads int) error {
	for _, s := range sessions {
		if err := s.EnableParallel(ctx, threads); err != nil {
			return err
		}
	}
	return nil
}

// stop cancels the load and waits up to stopTimeout for its end. A load that cannot be stopped frees what it made when it
// returns.
func (p *parallelLoad) stop() {
	if p == nil {
		return
	}
	p.cancel()
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
	}
}

// parallelThreads is the number of threads of parallel sessions, for a model with weights of size bytes.
func (c Config) parallelThreads(size int64) int {
	switch {
	case c.ThreadsAlone > 0:
		return c.ThreadsAlone
	case size > maxParallelWeights:
		return c.Threads
	}
	return min(c.workers(), cores.Count())
}
