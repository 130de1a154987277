package inference

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
)

// rows of a batch where the definition does not say.
const (
	rowsCUDA = 8
	rowsCPU  = 1
)

// load makes the version ready to answer: sessions, batches, warm-up, self-test. What it made is freed when it
// fails. The end of ctx ends its runs, and fails it.
func (v *version) load(ctx context.Context) error {
	err := protect(func() error { return v.build(ctx) })
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return errors.Join(err, v.close())
	}
	return nil
}

func (v *version) build(ctx context.Context) error {
	groups, err := v.groups()
	if err != nil {
		return err
	}
	if err := v.resolve(); err != nil {
		return err
	}
	if err := v.open(ctx, groups); err != nil {
		return err
	}
	v.admission = admission{bound: v.definition.Batching.Queue,
		report: func(change int) { v.shared.obs.Queue(v.model, v.name, change) }}
	v.scheduler = newScheduler(v.shared.ctx, v.ranBatch)
	for i, g := range groups {
		l, err := v.newLane(ctx, v.sessions[i], g)
		if err != nil {
			return err
		}
		v.scheduler.add(l)
		if err := v.warm(ctx, l); err != nil {
			return err
		}
	}
	outputs := v.scheduler.lanes[0].all[0].runner.Outputs(0)
	if v.decoder, err = postprocess.New(v.definition, outputs); err != nil {
		return err
	}
	if err := v.examine(ctx, v.scheduler.lanes[0]); err != nil {
		return err
	}
	if err := v.selfTest(ctx); err != nil {
		return err
	}
	v.share(groups)
	return nil
}

// share has the runs from now on share the cores with decoding and with other models. Those of the load do not: a model
// that never answers its self-test would keep cores that others need.
func (v *version) share(groups []group) {
	v.scheduler.mu.Lock()
	defer v.scheduler.mu.Unlock()
	for i, l := range v.scheduler.lanes {
		l.cores = v.cores(groups[i].device)
	}
}

// open loads the weights on the device of every group. Only the outputs that the definition reads are fetched.
func (v *version) open(ctx context.Context, groups []group) error {
	var names []string
	for _, g := range groups {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s, err := onnx.NewSession(v.found.Path, onnx.Options{Device: g.device, Threads: v.shared.cfg.Threads,
			SaturatingInt8: v.shared.cfg.SaturatingInt8, CUDA: v.shared.cfg.CUDA.options(), Outputs: v.definition.Outputs(),
			File: v.file, Load: ctx})
		if err != nil {
			return err
		}
		v.sessions = append(v.sessions, s)
		if s.PartlyCPU() {
			v.partlyCPU = true
			v.shared.log.Warn("parts of the model run on the CPU: ONNX Runtime has no CUDA kernel for them",
				"model", v.model, "version", v.name, "device", g.device.String())
		}
		names = append(names, g.device.String())
	}
	v.device = strings.Join(names, " ")
	v.tellInt8()
	return nil
}

// tellInt8 says how sums of int8 products are made where that is a choice: on a processor of x86 without VNNI.
func (v *version) tellInt8() {
	w := v.found
	onCPU := func(s *onnx.Session) bool { return s.Device().Kind == onnx.CPU || s.PartlyCPU() }
	if !w.Quantized || !onnx.Int8Saturates() || !slices.ContainsFunc(v.sessions, onCPU) {
		return
	}
	log := v.shared.log.With("model", v.model, "version", v.name)
	const wrong = "sums of int8 products may be cut off at 16 bits on this processor, which has no VNNI, and answers be wrong that are right on others"
	switch {
	case v.shared.cfg.SaturatingInt8:
		log.Warn(wrong, "reason", "inference.saturating_int8 is set")
	case w.SaturatesAlways || slices.ContainsFunc(v.sessions, (*onnx.Session).InexactInt8):
		log.Warn(wrong, "reason", "ONNX Runtime has no exact way for this model's operators; quantize it as pairs of QuantizeLinear and DequantizeLinear")
	default:
		log.Info("sums of int8 products are exact on this processor, which has no VNNI, and slower than on others")
		return
	}
	v.saturating = true
}

// resolve looks at the weights, completes the definition by what the ONNX file says, and plans the way of an image into the inputs.
func (v *version) resolve() error {
	found, err := v.entry.Weights(v.weights)
	if err != nil {
		return err
	}
	file, err := onnx.ReadFile(found.Path)
	if err != nil {
		return err
	}
	v.found = found
	v.file, v.inputs, v.outputs = file, tensorInfos(file.Inputs), tensorInfos(file.Outputs)
	resolved, err := v.entry.Definition.Resolve(v.inputs, v.outputs)
	if err != nil {
		return err
	}
	v.definition = resolved
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
	v.plan, err = preprocess.NewPlan(resolved.Input)
	return err
}

func tensorInfos(from []onnx.Info) []repository.TensorInfo {
	list := make([]repository.TensorInfo, len(from))
	for i, f := range from {
		list[i] = repository.TensorInfo{Name: f.Name, DType: f.DType, Shape: f.Shape}
	}
	return list
}

// group is a number of instances on a device that is known.
type group struct {
	device onnx.Device
	count  int
}

// groups are the definition's, or one on the server's device.
func (v *version) groups() ([]group, error) {
	given := v.entry.Definition.Instances
	if len(given) == 0 {
		given = []repository.Group{{}}
	}
	groups := make([]group, 0, len(given))
	for i, g := range given {
		device := v.shared.device
		if g.Device != "" && g.Device != "auto" {
			var err error
			if device, _, err = onnx.Pick(g.Device); err != nil {
				return nil, fmt.Errorf("instances[%d]: %w", i, err)
			}
		}
		groups = append(groups, group{device, v.instances(device, g.Count)})
	}
	return groups, nil
}

// instances is how many instances a group has: what the definition says, else the server, else one per core on
// the CPU and one on a GPU.
func (v *version) instances(d onnx.Device, count int) int {
	switch {
	case count > 0:
		return count
	case v.shared.cfg.Instances > 0:
		return v.shared.cfg.Instances
	case d.Kind == onnx.CPU:
		return runtime.GOMAXPROCS(0)
	}
	return 1
}

// newLane makes the instances and batches of one session. On the CPU all instances share the session, whose
// weights are then in memory once; each runs on a thread of its own.
func (v *version) newLane(ctx context.Context, s *onnx.Session, g group) (*lane, error) {
	buckets := batchSizes(g.device, v.definition.Batching.MaxSize, s.FixedBatch())
	rows := buckets[len(buckets)-1]
	shapes := make([][]int64, len(v.inputs))
	shapes[v.image] = imageShape(v.definition.Input, len(v.inputs[v.image].Shape))
	for _, x := range v.extras {
		shapes[x.input] = []int64{2}
	}
	spec := onnx.BatchSpec{Rows: rows, Buckets: buckets, RowShapes: shapes, Trial: v.writeTrial}
	l, err := newLane(laneSpec{device: g.device.String(), instances: g.count, rows: rows, buckets: buckets,
		inputs: len(v.inputs), delay: v.definition.Batching.MaxDelay,
		newRunner: func() (runner, error) { return s.NewBatch(ctx, spec) }})
	if err != nil {
		return nil, err
	}
	if want, have := v.plan.RowBytes(), len(l.all[0].runner.Input(v.image, 0)); want != have {
		return nil, errors.Join(fmt.Errorf("input %q: an image is packed into %d bytes, but the model takes %d",
			v.definition.Input.Name, want, have), l.closeRunners())
	}
	return l, nil
}

// cores are those that runs on the CPU share with decoding. Runs on CUDA need none.
func (v *version) cores(d onnx.Device) *cores {
	if d.Kind == onnx.CPU {
		return v.shared.cores
	}
	return nil
}

// batchSizes are the numbers of rows that run, the last that of a batch: on the CPU every one, on CUDA powers of
// two, because each new shape costs a search for algorithms. size is the definition's, 0 for none; fixed is the
// one that the file is made for, 0 for any.
func batchSizes(d onnx.Device, size, fixed int) (buckets []int) {
	switch {
	case fixed > 0:
		return []int{fixed}
	case size == 0 && d.Kind == onnx.CPU:
		size = rowsCPU
	case size == 0:
		size = rowsCUDA
	}
	for n := 1; n < size; n = nextSize(n, d) {
		buckets = append(buckets, n)
	}
	return append(buckets, size)
}

func nextSize(n int, d onnx.Device) int {
	if d.Kind == onnx.CPU {
		return n + 1
	}
	return 2 * n
}

// imageShape is the shape of one row of the image input, which has dimensions dimensions with that of the batch.
func imageShape(in repository.Input, dimensions int) []int64 {
	h, w, channels := int64(in.Height), int64(in.Width), int64(in.Channels())
	switch {
	case dimensions == 3: // gray
		return []int64{h, w}
	case in.Layout == "nhwc":
		return []int64{h, w, channels}
	}
	return []int64{channels, h, w}
}

// warm runs every bucket of a lane with empty rows, so that no request pays for what the first run sets up. The
// largest goes first: smaller ones then find their memory in what its run left in the device's arena.
func (v *version) warm(ctx context.Context, l *lane) error {
	b := l.all[0]
	for row := range b.rows {
		for input := range b.inputs {
			clear(b.runner.Input(input, row))
		}
	}
	for range v.definition.Warmup {
		for _, rows := range slices.Backward(l.buckets) {
			if err := b.runner.Run(ctx, rows); err != nil {
				return fmt.Errorf("warm-up on %s: %w", l.device, err)
			}
		}
	}
	return nil
}
