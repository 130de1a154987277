package inference

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
)

// EngineStatus is how far the TensorRT engines of a version are. CUDA computes the batch sizes that have none.
type EngineStatus struct {
	Built    int    // engines that compute their batch size
	Of       int    // batch sizes
	Building bool   // more are being built, or wait for it
	Error    string // of the last one that could not be built, or that failed
}

// String is such as "2 of 4 TensorRT engines are built".
func (s EngineStatus) String() string {
	text := fmt.Sprintf("%d of %d TensorRT engines are built", s.Built, s.Of)
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

// engineBuilds are the engines of a version: one for each batch size of each instance group on a device with TensorRT.
type engineBuilds struct {
	of []engineBuild
	do func(context.Context, *onnx.Session, onnx.EngineSpec) error // builds one

	mu       sync.Mutex
	building bool
	err      error
}

type engineBuild struct {
	session *onnx.Session
	group   *batcher.Group
	rows    int
}

// newEngineBuilds lists the engines of a version that has been loaded; nil without any.
func newEngineBuilds(v *version) *engineBuilds {
	var list []engineBuild
	for i, g := range v.groups {
		if !v.sessions[i].Device().TensorRT {
			continue
		}
		for _, rows := range g.Buckets() {
			list = append(list, engineBuild{v.sessions[i], g, rows})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return &engineBuilds{of: list, do: func(ctx context.Context, s *onnx.Session, spec onnx.EngineSpec) error {
		return s.BuildEngine(ctx, spec)
	}, building: true}
}

// build builds the engines, the largest batches first, as these gain the most, one at a time in the process. Requests do not wait for it.
func (b *engineBuilds) build(ctx context.Context, v *version, turn *semaphore.Weighted) {
	if b == nil {
		return
	}
	defer func() {
		b.mu.Lock()
		b.building = false
		b.mu.Unlock()
	}()
	log := v.shared.log.With("model", v.model, "version", v.name)
	if v.rowShapes == nil {
		b.fail(errOpenSize)
		log.Warn("no TensorRT engines: CUDA computes the model", "error", errOpenSize)
		return
	}
	for i := len(b.of) - 1; i >= 0; i-- {
		e := b.of[i]
		if turn.Acquire(ctx, 1) != nil {
			return
		}
		log.Info("building a TensorRT engine, which may take minutes; CUDA computes batches of this size meanwhile", "device", e.group.Device(), "rows", e.rows)
		start := time.Now()
		err := b.do(ctx, e.session, onnx.EngineSpec{Rows: e.rows, RowShapes: v.rowShapes, Trial: v.writeTrial,
			Options: onnx.TensorRTOptions{Cache: v.shared.cfg.TensorRT.Cache, FP16: v.shared.cfg.TensorRT.FP16}})
		turn.Release(1)
		switch after := time.Since(start).Round(time.Millisecond); {
		case ctx.Err() != nil:
			return
		case err != nil:
			b.fail(err)
			log.Warn("no TensorRT engine: CUDA computes batches of this size", "device", e.group.Device(), "rows", e.rows, "after", after, "error", err)
		default:
			log.Info("TensorRT engine ready", "device", e.group.Device(), "rows", e.rows, "after", after)
		}
	}
}

// errOpenSize is why a model has no engines.
var errOpenSize = fmt.Errorf("TensorRT needs inputs of fixed size, and the size of this model's depends on each image")

func (b *engineBuilds) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// engineFailed notes an engine that failed in a run. CUDA has computed the batch.
func (v *version) engineFailed(rows int, err error) {
	v.shared.log.Error("TensorRT engine failed; CUDA computes batches of this size", "model", v.model, "version", v.name, "rows", rows, "error", err)
	v.engines.fail(fmt.Errorf("the engine for batches of %d failed: %w", rows, err))
}

func (b *engineBuilds) status() *EngineStatus {
	if b == nil {
		return nil
	}
	s := &EngineStatus{Of: len(b.of)}
	counted := map[*onnx.Session]bool{}
	for _, e := range b.of {
		if !counted[e.session] {
			counted[e.session] = true
			s.Built += len(e.session.Engines())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.Building = b.building
	if b.err != nil {
		s.Error = b.err.Error()
	}
	return s
}
