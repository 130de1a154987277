package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/cores"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
)

// Rows of a batch where the definition has no batching.max_size, and the outputs have a batch dimension.
const (
	defaultBatchCUDA = 8
	defaultBatchCPU  = 1
)

// stopTimeout is how long a load may take to end after it was stopped: ONNX Runtime checks for that between two nodes of a
// model.
const stopTimeout = 2 * time.Second

// load tries to load one version, judges it by its gate, and updates what its model serves. A load fails when it takes longer than
// inference.load_timeout or the engine is closed. If it cannot be stopped, it continues in the background, frees what it made
// when it returns, and delays nothing else.
func (e *Engine) load(m *model, v *version) {
	defer close(v.loadReturned)
	defer v.cancelLoad(nil)
	e.loadBase(m, v)
	state, err := Ready, e.loadInTime(m, v)
	if err == nil {
		err = e.passGate(m, v)
	}
	if err != nil {
		state = Failed
		e.markDeviceLost(err)
	} else {
		v.used.Store(time.Now().UnixNano())
		e.startParallel(v)
	}
	v.logLoad(v.setState(state, err), err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.updateServed(m)
}

func (e *Engine) loadInTime(m *model, v *version) error {
	limit := e.cfg.LoadTimeout
	ctx, cancel := context.WithTimeoutCause(v.loadCtx, limit, fmt.Errorf("not loaded within inference.load_timeout, %s", limit))
	result := make(chan error, 1)
	var givenUp atomic.Bool
	e.computing.Add(1)
	go func() {
		err := v.load(ctx)
		if err != nil {
			e.freed(v)
		}
		result <- err
		cancel()
		e.computing.Add(-1)
		close(v.loadStopped)
		if givenUp.Load() { // then nothing is left of it now
			e.mu.Lock()
			defer e.mu.Unlock()
			e.updateServed(m)
		}
	}()
	select {
	case <-v.loadStopped:
		return <-result
	case <-ctx.Done():
	}
	select {
	case <-v.loadStopped:
		return <-result
	case <-time.After(stopTimeout):
		givenUp.Store(true)
		return fmt.Errorf("%w; its computation cannot be stopped and continues in the background", context.Cause(ctx))
	}
}

// load makes the version ready: sessions, batches, warm-up, trial runs, self-test. It frees what it made when it fails.
// The end of ctx terminates its runs and fails it.
func (v *version) load(ctx context.Context) error {
	err := panics.Catch(func() error { return v.build(ctx) })
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return errors.Join(err, v.close())
	}
	return nil
}

// loadsOnOneThread reports whether loading makes no threads that are used later, which would have its priority.
func (v *version) loadsOnOneThread(specs []groupSpec) bool {
	return v.shared.cfg.Threads <= 1 && !slices.ContainsFunc(specs, func(s groupSpec) bool { return s.device.Kind != onnx.CPU })
}

func (v *version) build(ctx context.Context) error {
	specs, err := v.groupSpecs()
	if err != nil {
		return err
	}
	if v.loadsOnOneThread(specs) {
		lowerPriority()
	}
	if err := v.resolve(); err != nil {
		return err
	}
	if err := v.shared.reserve(ctx, v, v.weightBytes(specs)); err != nil {
		return err
	}
	if err := v.open(ctx, specs); err != nil {
		return err
	}
	v.queue = queue{bound: v.definition.Batching.Queue,
		report: func(change int) { v.shared.obs.Queue(v.model, v.name, change) }}
	v.batcher = batcher.New(v.shared.ctx, v.onRun)
	for i, p := range specs {
		if v.definition.Task == repository.NoTask {
			if err := v.buildNoTask(ctx, v.sessions[i], p); err != nil {
				return err
			}
			continue
		}
		g, err := v.newGroup(ctx, v.sessions[i], p)
		if err != nil {
			return err
		}
		v.groups = append(v.groups, g)
		if i == 0 { // before the first run, sizes that vary are open
			if v.decoder, err = postprocess.New(v.definition, g.Runner().Outputs(0)); err != nil {
				return err
			}
		}
		if err := v.warmUp(ctx, g); err != nil {
			return err
		}
	}
	if v.definition.Task == repository.NoTask {
		v.noteUndefined()
	} else if err := v.checkDefinition(ctx, v.groups[0]); err != nil {
		return err
	} else if err := v.selfTest(ctx); err != nil {
		return err
	}
	v.describe(specs)
	// Only now do runs share the workers with decoding and with other models: a model that never answers its self-test
	// would keep workers that others need.
	v.batcher.Open()
	return nil
}

// open loads the weights on the device of every group. Only the outputs that the definition reads are fetched.
func (v *version) open(ctx context.Context, specs []groupSpec) error {
	var names []string
	for _, p := range specs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s, err := onnx.NewSession(v.weights.Path, onnx.Options{Device: p.device, Threads: v.shared.cfg.Threads,
			SaturatingInt8: v.shared.cfg.SaturatingInt8, ReducedInt8: v.weights.Reduced, CUDA: v.shared.cfg.CUDA.options(), Outputs: v.batchOutputs(),
			FeedsOnly: v.definition.Task == repository.NoTask && !v.canBatch(), File: v.file, Load: ctx, EngineFailed: v.engineFailed})
		if err != nil {
			return err
		}
		v.sessions = append(v.sessions, s)
		if s.PartlyCPU() {
			v.partlyCPU = true
			v.shared.log.Warn("parts of the model run on the CPU: ONNX Runtime has no CUDA kernel for them",
				"model", v.model, "version", v.name, "device", p.device.String())
		}
		names = append(names, p.device.String())
	}
	v.device = strings.Join(names, " ")
	v.checkInt8()
	return nil
}

// batchOutputs are the outputs of batches: those that the definition reads, or all without a task.
func (v *version) batchOutputs() []string {
	if v.definition.Task == repository.NoTask {
		return nil
	}
	return v.definition.Outputs()
}

// checkInt8 logs how int8 products are summed where that is a choice: on x86 processors without VNNI.
func (v *version) checkInt8() {
	weights := v.weights
	onCPU := func(s *onnx.Session) bool { return s.Device().Kind == onnx.CPU || s.PartlyCPU() }
	if !weights.Quantized || weights.Reduced || !onnx.Int8Saturates() || !slices.ContainsFunc(v.sessions, onCPU) {
		return
	}
	log := v.shared.log.With("model", v.model, "version", v.name)
	const warning = "int8 sums may saturate at 16 bits on this processor, which has no VNNI; predictions may be wrong"
	switch {
	case v.shared.cfg.SaturatingInt8:
		log.Warn(warning, "reason", "inference.saturating_int8 is set")
	case weights.SaturatesAlways || slices.ContainsFunc(v.sessions, (*onnx.Session).InexactInt8):
		log.Warn(warning, "reason", "ONNX Runtime has no exact kernel for this model's operators; quantize it with QuantizeLinear and DequantizeLinear pairs")
	default:
		log.Info("int8 sums are exact on this processor, which has no VNNI, and slower than with VNNI")
		return
	}
	v.saturating = true
}

// resolve checks the weights, completes the definition from the ONNX file, and plans how images are written into the inputs.
func (v *version) resolve() error {
	weights, err := v.entry.Weights(v.Version)
	if err != nil {
		return err
	}
	file, err := onnx.ReadFile(weights.Path)
	if err != nil {
		return err
	}
	v.weights = weights
	v.file, v.declared, v.inputs, v.outputs = file, file.Inputs, file.Inputs, file.Outputs
	definition := v.entry.Definition
	if v.shared.cfg.NormalizeInPacking && definition.Input.Normalize == repository.NormalizeGraph {
		definition.Input.Normalize = repository.NormalizePacking
	}
	resolved, err := definition.Resolve(v.inputs, v.outputs)
	if err != nil {
		return err
	}
	v.definition = resolved
	if resolved.Task == repository.NoTask {
		return nil
	}
	if resolved.Input.Normalize == repository.NormalizeGraph {
		if err := file.TakePixels(resolved.Input); err != nil {
			return err
		}
		v.inputs = file.Inputs
	}
	for i, in := range v.inputs {
		if in.Name == resolved.Input.Name {
			v.image = i
			continue
		}
		x, err := newExtra(i, in, resolved.Input.Extra)
		if err != nil {
			return err
		}
		v.extras = append(v.extras, x)
	}
	v.plan, err = preprocess.NewPlan(resolved.Input.Packed())
	return err
}

// groupSpec is a number of instances on a device.
type groupSpec struct {
	device    onnx.Device
	instances int
}

// groupSpecs are the definition's instance groups, or one on the server's device. A number of instances that neither the
// definition nor the server sets is one per core on the CPU, and one on a GPU.
func (v *version) groupSpecs() ([]groupSpec, error) {
	given := v.entry.Definition.Instances
	if len(given) == 0 {
		given = []repository.Group{{}}
	}
	list := make([]groupSpec, 0, len(given))
	for i, g := range given {
		device := v.shared.device
		if g.Device != "" && g.Device != "auto" {
			var err error
			if device, _, err = onnx.Pick(g.Device); err != nil {
				return nil, fmt.Errorf("instances[%d]: %w", i, err)
			}
		}
		instances := 1
		if device.Kind == onnx.CPU {
			instances = cores.Count()
		}
		list = append(list, groupSpec{device, cmp.Or(g.Count, v.shared.cfg.Instances, instances)})
	}
	return list, nil
}

// newGroup makes the instances and batches of one session. On the CPU all instances share the session, so that the weights
// are in memory once; each runs on its own thread.
func (v *version) newGroup(ctx context.Context, s *onnx.Session, p groupSpec) (*batcher.Group, error) {
	size := v.trialSize(0) // the definition's, or of the first trial
	shapes := v.inputShapes(size)
	if !v.definition.Input.Dynamic() {
		v.rowShapes = shapes
	}
	buckets := v.shared.batchSizes(p.device, v.definition.Batching.MaxSize, s.FixedBatch(shapes))
	g, err := v.addGroup(ctx, s, p, buckets, shapes)
	if errors.Is(err, onnx.ErrNotBatched) && v.definition.Batching.MaxSize == 0 {
		g, err = v.addGroup(ctx, s, p, []int{1}, shapes)
	}
	if err != nil {
		return nil, err
	}
	if want, have := v.plan.RowBytesOf(size), len(g.Runner().Input(v.image, 0)); want != have {
		return nil, fmt.Errorf("input %q: an image is packed into %d bytes, but the model takes %d", v.definition.Input.Name, want, have)
	}
	return g, nil
}

// addGroup adds a group whose batches have some sizes.
func (v *version) addGroup(ctx context.Context, s *onnx.Session, p groupSpec, buckets []int, shapes [][]int64) (*batcher.Group, error) {
	cfg := v.groupConfig(p, buckets)
	cfg.Separable = separable
	spec := onnx.BatchSpec{Buckets: buckets, RowShapes: shapes, TrialShapes: v.trialShapes(), Trial: v.writeTrial}
	return v.batcher.Add(cfg, func() (batcher.Runner, error) { return v.newBatch(ctx, s, spec) })
}

// groupConfig is the configuration of a group of any model. Runs on CUDA need no worker.
func (v *version) groupConfig(p groupSpec, buckets []int) batcher.GroupConfig {
	cfg := batcher.GroupConfig{Device: p.device.String(), Instances: p.instances, Buckets: buckets, Inputs: len(v.inputs),
		MaxDelay: v.definition.Batching.MaxDelay}
	if p.device.Kind == onnx.CPU {
		cfg.Acquire = v.shared.workers.acquireRun
	}
	return cfg
}

// separable reports whether the error of a run is one of the model on some image, as in R-CNNs that find nothing.
func separable(err error) bool {
	_, failed := errors.AsType[*onnx.RunError](err)
	return failed && !onnx.IsDeviceLost(err)
}

// newRunner allocates a batch.
func newRunner(ctx context.Context, s *onnx.Session, spec onnx.BatchSpec) (batcher.Runner, error) {
	return s.NewBatch(ctx, spec)
}

// batchSizes are the numbers of rows that run, the last that of a full batch: every size on the CPU; powers of two on CUDA,
// where each new shape costs a search for algorithms. size is the definition's, 0 for none; fixed is the file's, 0 for
// any.
func batchSizes(d onnx.Device, size, fixed int) (list []int) {
	switch {
	case fixed > 0:
		return []int{fixed}
	case size == 0 && d.Kind == onnx.CPU:
		size = defaultBatchCPU
	case size == 0:
		size = defaultBatchCUDA
	}
	for n := 1; n < size; {
		list = append(list, n)
		if d.Kind == onnx.CPU {
			n++
		} else {
			n *= 2
		}
	}
	return append(list, size)
}
