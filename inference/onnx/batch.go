package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/sigaction"
	"fovea/postprocess"
)

// BatchSpec is the size of a batch.
type BatchSpec struct {
	Rows      int       // rows of memory; 0 means the largest bucket
	Buckets   []int     // the batch sizes that Run takes; empty means Rows alone. A model whose file fixes the batch has that one
	RowShapes [][]int64 // of each input, without the batch dimension; nil (all or one) takes the file's, which must then be known

	// Trial writes one row of an input for one of the Trials trial runs that find shapes which the file leaves open; the more
	// these inputs differ, the more is found. Nil: nothing in the first run, noise in the others.
	Trial func(trial, input, row int, memory []byte)
}

// Batch is the memory of one batch: the inputs that rows are written to and the outputs that they are read
// from, used again by every Run. It is dense (row i of an input begins at i times its row's size), begins on a
// multiple of 64 bytes, and is pinned on CUDA. It belongs to one goroutine at a time, but rows of it may be
// written by several at once. At birth every byte is 0xFF, which reads as NaN in floats.
type Batch struct {
	parent  *Session
	session *ort.DynamicAdvancedSession // nil once closed
	options *ort.RunOptions             // of its runs, which come one after the other
	rows    int
	buckets []bucket // ascending
	inputs  []tensor
	outputs []tensor
	forms   []rowForm
	views   [][]postprocess.Tensor // by row: what Outputs returns
}

// bucket is one batch size with its native tensors over the first rows of the memory.
type bucket struct {
	size    int
	inputs  []ort.Value
	outputs []ort.Value // nil where ONNX Runtime allocates
}

// NewBatch allocates a batch. Where the file leaves the shape of an output open, the model is run to find it, with several
// inputs. The end of ctx ends these runs.
func (s *Session) NewBatch(ctx context.Context, spec BatchSpec) (batch *Batch, err error) {
	sizes, err := s.buckets(spec)
	if err != nil {
		return nil, s.batchError(err)
	}
	shapes, err := s.rowShapes(spec.RowShapes)
	if err != nil {
		return nil, s.batchError(err)
	}
	session, err := s.open()
	if err != nil {
		return nil, s.batchError(err)
	}
	b := &Batch{parent: s, session: session, rows: sizes[len(sizes)-1]}
	if b.options, err = ort.NewRunOptions(); err != nil {
		return nil, s.batchError(errors.Join(err, b.Close()))
	}
	liveValues.Add(1)
	done := terminateWith(ctx, b.options)
	if err := done(b.build(sizes, shapes, spec.Trial)); err != nil {
		return nil, s.batchError(errors.Join(err, b.Close()))
	}
	return b, nil
}

func (s *Session) batchError(err error) error {
	return fmt.Errorf("batch for %s on %s: %w", s.path, s.device, err)
}

func (b *Batch) build(sizes []int, shapes [][]int64, write func(trial, input, row int, memory []byte)) error {
	for i, info := range b.parent.inputs {
		t, err := b.allocate(info, shapes[i], b.rows)
		if err != nil {
			return fmt.Errorf("input %q: %w", info.Name, err)
		}
		b.inputs = append(b.inputs, t)
	}
	for _, size := range sizes {
		b.buckets = append(b.buckets, bucket{size: size})
		at := &b.buckets[len(b.buckets)-1]
		for _, t := range b.inputs {
			value, err := t.value(size)
			if err != nil {
				return fmt.Errorf("input %q: %w", t.info.Name, err)
			}
			at.inputs = append(at.inputs, value)
		}
	}
	forms, err := b.parent.outputForms(b, write)
	if err != nil {
		return err
	}
	b.forms = slices.Clone(forms) // the session's own, which other batches share, stay as they are
	return b.buildOutputs()
}

func (b *Batch) buildOutputs() error {
	for i, info := range b.parent.outputs {
		form := b.forms[i]
		t := tensor{info: info, rowShape: form.shape}
		if !form.varies() {
			var err error
			if t, err = b.allocate(info, form.shape, b.rows); err != nil {
				return fmt.Errorf("output %q: %w", info.Name, err)
			}
		}
		b.outputs = append(b.outputs, t)
	}
	for i := range b.buckets {
		at := &b.buckets[i]
		for j, t := range b.outputs {
			value, err := b.outputValue(t, b.forms[j], at.size)
			if err != nil {
				return fmt.Errorf("output %q: %w", t.info.Name, err)
			}
			at.outputs = append(at.outputs, value)
		}
	}
	b.views = make([][]postprocess.Tensor, b.rows)
	for row := range b.views {
		b.views[row] = make([]postprocess.Tensor, len(b.outputs))
		for i, t := range b.outputs {
			b.views[row][i] = postprocess.Tensor{Name: t.info.Name, DType: t.info.DType, Shape: t.rowShape}
			if t.block != nil {
				b.views[row][i].Data = t.row(row)
			}
		}
	}
	return nil
}

func (b *Batch) outputValue(t tensor, form rowForm, size int) (ort.Value, error) {
	if t.block == nil {
		return nil, nil
	}
	if form.whole {
		return newValue(t.info.DType, t.rowShape, t.block.Bytes())
	}
	return t.value(size)
}

// Rows is how many rows the batch holds.
func (b *Batch) Rows() int { return b.rows }

// Buckets are the batch sizes that Run takes, ascending.
func (b *Batch) Buckets() []int {
	sizes := make([]int, len(b.buckets))
	for i := range b.buckets {
		sizes[i] = b.buckets[i].size
	}
	return sizes
}

// Bucket is the smallest batch size that holds rows rows, or the largest there is.
func (b *Batch) Bucket(rows int) int {
	for i := range b.buckets {
		if b.buckets[i].size >= rows {
			return b.buckets[i].size
		}
	}
	return b.rows
}

// Input is the memory of one row of an input, in the machine's byte order.
func (b *Batch) Input(input, row int) []byte { return b.inputs[input].row(row) }

// Outputs are the outputs of one row in the order of the session. Before the first Run they tell names, dtypes
// and row shapes, in which -1 is a size that changes from run to run. The slice and the data belong to the
// batch: they are overwritten by the next Run and gone after Close. A row that the last Run did not compute
// holds what an earlier one left there.
func (b *Batch) Outputs(row int) []postprocess.Tensor { return b.views[row] }

// Run computes the first rows rows, where rows is one of the buckets. Rows that were not written are computed
// from what is in them. The end of ctx ends the run between two of the model's nodes, with an error that wraps ctx's
// cause; the batch can be run again then. Another error on CUDA is a *DeviceError; see Sticky.
func (b *Batch) Run(ctx context.Context, rows int) error {
	return b.run(ctx, b.session, rows, b.options)
}

// Wide says whether RunWide has threads that Run has not: whether Widen is done.
func (b *Batch) Wide() bool { return b.parent.wide.Load() != nil }

// RunWide is Run on the threads of Widen, for a run that has all cores to itself. Before Widen it is Run.
func (b *Batch) RunWide(ctx context.Context, rows int) error {
	if wide := b.parent.wide.Load(); wide != nil {
		return b.run(ctx, wide, rows, b.options)
	}
	return b.Run(ctx, rows)
}

// RunShrink is Run, after which the device's arena gives the memory back that nothing uses. It takes long: call
// it after a change of batch sizes, never on every batch.
func (b *Batch) RunShrink(ctx context.Context, rows int) (err error) {
	options, err := ort.NewRunOptions()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	if err := options.AddRunConfigEntry("memory.enable_memory_arena_shrinkage", b.parent.device.arena()); err != nil {
		return err
	}
	return b.run(ctx, b.session, rows, options)
}

// arena is the device in the words of ONNX Runtime's arena option.
func (d Device) arena() string {
	if d.Kind == CUDA {
		return fmt.Sprintf("gpu:%d", d.Index)
	}
	return "cpu:0"
}

func (b *Batch) run(ctx context.Context, on *ort.DynamicAdvancedSession, rows int, options *ort.RunOptions) error {
	i := slices.IndexFunc(b.buckets, func(at bucket) bool { return at.size == rows })
	if i < 0 {
		return fmt.Errorf("run of %d rows: the batch sizes are %v", rows, b.Buckets())
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %d rows of %s: %w", rows, b.parent.path, context.Cause(ctx))
	}
	done := terminateWith(ctx, options)
	err := done(b.call(on, &b.buckets[i], options))
	if err == nil {
		return nil
	}
	return fmt.Errorf("run %d rows of %s: %w", rows, b.parent.path, err)
}

// call runs one bucket. A session's first run of a size on CUDA may load more of CUDA, which installs signal handlers.
// Later ones must not wait for others that load.
func (b *Batch) call(on *ort.DynamicAdvancedSession, at *bucket, options *ort.RunOptions) (err error) {
	if b.parent.device.Kind != CUDA || b.parent.hasRun(at.size) {
		return b.compute(on, at, options)
	}
	sigaction.Preserve(func() { err = b.compute(on, at, options) })
	if err == nil {
		b.parent.ran(at.size)
	}
	return err
}

// Close frees the batch. No Run may be under way. A second call does nothing.
func (b *Batch) Close() error {
	if b.session == nil {
		return nil
	}
	var errs []error
	for i := range b.buckets {
		errs = append(errs, destroy(b.buckets[i].inputs), destroy(b.buckets[i].outputs))
	}
	for _, t := range append(b.inputs, b.outputs...) {
		if t.block != nil {
			errs = append(errs, t.block.Free())
		}
	}
	if b.options != nil {
		errs = append(errs, b.options.Destroy())
		liveValues.Add(-1)
	}
	b.buckets, b.inputs, b.outputs, b.views, b.session, b.options = nil, nil, nil, nil, nil, nil
	b.parent.release()
	return errors.Join(errs...)
}
