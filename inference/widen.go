package inference

import (
	"context"
	"runtime"
	"time"

	"fovea/inference/onnx"
)

// largestTwice is the size of the largest model whose weights are kept twice without being asked for, in bytes.
const largestTwice = 256 << 20

// widening is the making of the sessions for images that are alone, beside a version that answers.
type widening struct {
	stop context.CancelFunc
	over chan struct{} // closed when it computes no more
}

// widen begins to let the runs of images that are alone in the server have more threads. The version goes on as it is when
// this fails. It holds up neither the version's end nor the engine's.
func (e *Engine) widen(v *version) {
	ctx, stop := context.WithCancel(e.loads)
	v.widening = &widening{stop, make(chan struct{})}
	sessions, threads, over := v.sessions, e.cfg.threadsAlone(v.found.Size), v.widening.over
	e.computing.Add(1)
	go func() {
		defer close(over)
		defer e.computing.Add(-1)
		defer stop()
		if err := widen(ctx, sessions, threads); err != nil && ctx.Err() == nil {
			e.log.Warn("an image alone is answered on one core only", "model", v.model, "version", v.name, "error", err)
		}
	}()
}

func widen(ctx context.Context, sessions []*onnx.Session, threads int) error {
	for _, s := range sessions {
		if err := s.EnableParallel(ctx, threads); err != nil {
			return err
		}
	}
	return nil
}

// end ends it, and waits for that as long as for a load. What cannot be stopped goes on, and frees what it made.
func (w *widening) end() {
	if w == nil {
		return
	}
	w.stop()
	select {
	case <-w.over:
	case <-time.After(terminateTime):
	}
}

// threadsAlone are the threads of runs that have the cores to themselves, of a model with weights of size bytes.
func (c Config) threadsAlone(size int64) int {
	switch {
	case c.ThreadsAlone > 0:
		return c.ThreadsAlone
	case size > largestTwice:
		return c.Threads
	}
	return min(c.workers(), runtime.GOMAXPROCS(0))
}
