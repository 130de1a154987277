package onnx

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// Engines take over the runs of a session on the device tensorrt: TensorRT compiles a model for fixed shapes, which takes seconds to
// minutes, so each batch size has its own engine, a session. Until it is built, and if it cannot be or fails, CUDA computes that size.
// Shapes are fixed in the graph itself, since ONNX Runtime needs those of all subgraphs otherwise.

// engine is the session of one batch size.
type engine struct {
	*runtimeSession
	failed atomic.Bool
}

// EngineSpec describes an engine.
type EngineSpec struct {
	Rows      int       // of the batch
	RowShapes [][]int64 // as in BatchSpec
	Trial     FillTrial // rows of a run that tries the engine; nil: noise

	Options TensorRTOptions
}

// hasEngine fails unless TensorRT has put an engine into a folder. It does not if it has no implementation of any operator of a model, which
// ONNX Runtime does not report.
func hasEngine(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.engine"))
	if err == nil && len(files) == 0 {
		err = errors.New("TensorRT takes no part of the model")
	}
	return err
}

// errNoEngine is the error of an engine whose outputs are no numbers.
var errNoEngine = errors.New("the outputs of a trial run contain NaN or an infinity, and those of CUDA do not")

// BuildEngine builds the engine of one batch size, or loads it from the cache, and tries it. Then it takes over the runs of that size. Runs
// continue meanwhile, and the session may be closed. ctx cancels it like Options.Load; TensorRT itself cannot be interrupted. The session
// must be on a device with TensorRT.
func (s *Session) BuildEngine(ctx context.Context, spec EngineSpec) error {
	if !s.device.TensorRT {
		return fmt.Errorf("engine of %s: the device is %s", s.path, s.device)
	}
	key, err := machineKey(s.device)
	if err != nil {
		return s.engineError(spec, err)
	}
	provider, err := s.engineOptions(key, spec)
	if err != nil {
		return s.engineError(spec, err)
	}
	extend := func(options *ort.SessionOptions) error {
		return appendTensorRT(options, s.device, s.options.CUDA, provider)
	}
	return s.buildEngine(ctx, spec, extend, func() error { return hasEngine(provider["trt_engine_cache_path"]) })
}

func (s *Session) engineError(spec EngineSpec, err error) error {
	return fmt.Errorf("TensorRT engine for batches of %d of %s: %w", spec.Rows, s.path, err)
}

// engineOptions returns the provider's options for an engine, with its folders below the cache.
func (s *Session) engineOptions(key EngineKey, spec EngineSpec) (map[string]string, error) {
	o := spec.Options
	if o.Cache == "" {
		var err error
		if o.Cache, err = DefaultEngineCache(); err != nil {
			return nil, err
		}
	}
	var err error
	if spec.RowShapes, err = s.rowShapes(spec.RowShapes); err != nil {
		return nil, err
	}
	if key.Model, err = hashModel(s.path); err != nil {
		return nil, err
	}
	half := func(info Info) bool { return info.DType == repository.Float16 }
	key.FP16 = o.FP16 || slices.ContainsFunc(s.inputs, half) || s.pixels != nil && s.pixels.DType == repository.Float16
	key.Graph = fmt.Sprint(s.added)
	if s.pixels != nil {
		key.Graph += fmt.Sprintf(" pixels of %s, scale %v, mean %v, std %v", s.pixels.Name, s.pixels.Scale, s.pixels.Mean, s.pixels.Std)
	}
	key.Shapes = fmt.Sprint(spec.Rows, s.fixedShapes(spec))
	engine, timing, err := key.folders(o.Cache)
	if err != nil {
		return nil, err
	}
	return o.provider(s.device, key.FP16, engine, timing), nil
}

// fixedShapes are the whole shapes of the inputs, in their order.
func (s *Session) fixedShapes(spec EngineSpec) [][]int64 {
	shapes := make([][]int64, len(s.inputs))
	for i, info := range s.inputs {
		if shapes[i] = slices.Clone(spec.RowShapes[i]); len(shapes[i]) < len(info.Shape) {
			shapes[i] = append([]int64{int64(spec.Rows)}, shapes[i]...)
		}
	}
	return shapes
}

// buildEngine creates the session of an engine with the provider that extend sets. confirm says whether that has one.
func (s *Session) buildEngine(ctx context.Context, spec EngineSpec, extend func(*ort.SessionOptions) error, confirm func() error) (err error) {
	if spec.RowShapes, err = s.rowShapes(spec.RowShapes); err != nil {
		return s.engineError(spec, err)
	}
	shapes := map[string][]int64{}
	for i, shape := range s.fixedShapes(spec) {
		shapes[s.inputs[i].Name] = shape
	}
	o := s.options
	o.Load, o.shapes = ctx, shapes
	var session *runtimeSession
	sigaction.Preserve(func() { session, err = s.create(o, extend) })
	if err != nil {
		return s.engineError(spec, err)
	}
	native.Trim()
	liveObjects.Add(1)
	e := &engine{runtimeSession: session}
	if err = s.try(ctx, e, spec); err == nil {
		err = confirm()
	}
	if err != nil {
		return s.engineError(spec, errors.Join(err, e.destroy()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return s.engineError(spec, errors.Join(errors.New("the session is closed"), e.destroy()))
	}
	engines := map[int]*engine{spec.Rows: e}
	if old := s.engines.Load(); old != nil {
		for rows, other := range *old {
			if rows == spec.Rows {
				return s.engineError(spec, errors.Join(errors.New("there is one already"), e.destroy()))
			}
			engines[rows] = other
		}
	}
	s.engines.Store(&engines)
	return nil
}

func (e *engine) destroy() error {
	liveObjects.Add(-1)
	return e.Destroy()
}

// try runs an engine once, which completes it, and compares what is a number with CUDA's.
func (s *Session) try(ctx context.Context, e *engine, spec EngineSpec) (err error) {
	b, err := s.NewBatch(ctx, BatchSpec{Buckets: []int{spec.Rows}, RowShapes: spec.RowShapes, Trial: spec.Trial})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	const trial = 1 // noise
	for input := range s.inputs {
		for row := range spec.Rows {
			b.fill(spec.Trial, trial, input, row)
		}
	}
	if err := b.run(ctx, b.session, spec.Rows); err != nil {
		return err
	}
	usual := b.isFinite()
	if err := s.preserve(func() error { return b.run(ctx, e.runtimeSession, spec.Rows) }); err != nil {
		return err
	}
	if usual && !b.isFinite() {
		return errNoEngine
	}
	return nil
}

// isFinite reports whether all outputs are numbers.
func (b *Batch) isFinite() bool {
	for _, row := range b.views {
		if slices.ContainsFunc(row, func(t postprocess.Tensor) bool { return !t.IsFinite() }) {
			return false
		}
	}
	return true
}

// engineOf returns the engine that computes batches of some rows; nil: there is none.
func (s *Session) engineOf(rows int) *engine {
	engines := s.engines.Load()
	if engines == nil {
		return nil
	}
	if e := (*engines)[rows]; e != nil && !e.failed.Load() {
		return e
	}
	return nil
}

// Engines returns the batch sizes that TensorRT computes, ascending.
func (s *Session) Engines() (sizes []int) {
	engines := s.engines.Load()
	if engines == nil {
		return nil
	}
	for rows, e := range *engines {
		if !e.failed.Load() {
			sizes = append(sizes, rows)
		}
	}
	slices.Sort(sizes)
	return sizes
}

// runEngine runs an engine. If it fails, CUDA computes its size from now on, and computed is false.
func (b *Batch) runEngine(ctx context.Context, e *engine, rows int) (computed bool, err error) {
	err = b.run(ctx, e.runtimeSession, rows)
	if err == nil || ctx.Err() != nil || IsDeviceLost(err) {
		return true, err
	}
	if !e.failed.Swap(true) && b.parent.options.EngineFailed != nil {
		b.parent.options.EngineFailed(rows, err)
	}
	return false, nil
}
