package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"fovea/postprocess"
)

// BatchSpec describes the tensors of a batch.
type BatchSpec struct {
	Rows    int   // rows to allocate; 0: the largest bucket
	Buckets []int // batch sizes that Run accepts; empty: Rows only. If the file fixes the batch size, only that one

	// RowShapes are the shapes of the inputs without the batch dimension; nil (all or one): the file's, which must then be
	// fixed. One of as many dimensions as in the file has no batch dimension there; the batch is of one row then.
	RowShapes [][]int64

	// TrialShapes are the RowShapes of a trial run, for inputs whose shape the file leaves open; nil: RowShapes.
	TrialShapes func(trial int) [][]int64

	Trial FillTrial // nil: zeros in the first trial run, noise in the others
}

// FillTrial writes one row of an input for one of the Trials trial runs, which determine the shapes that the file leaves
// open. The more the inputs differ between trials, the more reliable the result.
type FillTrial func(trial, input, row int, memory []byte)

// Batch holds the input and output tensors of one run, reused by every Run. The memory is dense (row i of an input starts
// at i times the row's size), aligned to 64 bytes, and pinned on CUDA. A batch belongs to one goroutine at a time, but
// several goroutines may write different rows concurrently. Every byte is initially 0xFF, which reads as NaN in floats.
type Batch struct {
	parent    *Session
	session   *runtimeSession // nil once closed
	options   runOptions
	rows      int
	buckets   []bucket // ascending
	inputs    []tensor
	outputs   []tensor
	layouts   []rowLayout            // of the outputs
	views     [][]postprocess.Tensor // by row: what Outputs returns
	allocated []unsafe.Pointer       // the outputs that ONNX Runtime allocated in the last run; nil: none
}

// bucket is one batch size and its native tensors over the first rows of the memory.
type bucket struct {
	size    int
	hasRun  bool // with its shapes
	inputs  []value
	outputs []value // without a tensor: allocated by ONNX Runtime
}

// NewBatch allocates a batch. If the file leaves the shape of an output open, trial runs with different inputs determine
// it. Canceling ctx terminates these runs.
func (s *Session) NewBatch(ctx context.Context, spec BatchSpec) (batch *Batch, err error) {
	sizes, err := s.buckets(spec)
	if err != nil {
		return nil, s.batchError(err)
	}
	shapes, err := s.rowShapes(spec.RowShapes)
	if err != nil {
		return nil, s.batchError(err)
	}
	if last := sizes[len(sizes)-1]; last > 1 && (spec.TrialShapes != nil || s.unbatched(shapes)) {
		return nil, s.batchError(fmt.Errorf("batches of %d: an input of open size, or without a batch dimension, takes one row", last))
	}
	session, err := s.open()
	if err != nil {
		return nil, s.batchError(err)
	}
	b := &Batch{parent: s, session: session, rows: sizes[len(sizes)-1]}
	if b.options, err = newRunOptions(); err != nil {
		return nil, s.batchError(errors.Join(err, b.Close()))
	}
	done := terminateWith(ctx, b.options.RunOptions)
	if err := done(b.build(sizes, shapes, spec)); err != nil {
		return nil, s.batchError(errors.Join(err, b.Close()))
	}
	return b, nil
}

func (s *Session) batchError(err error) error {
	return fmt.Errorf("batch for %s on %s: %w", s.path, s.device, err)
}

func (b *Batch) build(sizes []int, shapes [][]int64, spec BatchSpec) error {
	for i, info := range b.parent.inputs {
		t, err := b.allocate(info, shapes[i])
		if err != nil {
			return fmt.Errorf("input %q: %w", info.Name, err)
		}
		b.inputs = append(b.inputs, t)
	}
	for _, size := range sizes {
		b.buckets = append(b.buckets, bucket{size: size})
		at := &b.buckets[len(b.buckets)-1]
		for _, t := range b.inputs {
			v, err := t.value(size)
			if err != nil {
				return fmt.Errorf("input %q: %w", t.info.Name, err)
			}
			at.inputs = append(at.inputs, v)
		}
	}
	layouts, err := b.parent.outputLayouts(b, spec)
	if err != nil {
		return err
	}
	b.layouts = slices.Clone(layouts) // other batches share the session's
	return b.buildOutputs()
}

func (b *Batch) buildOutputs() error {
	for i, info := range b.parent.outputs {
		layout := b.layouts[i]
		t := tensor{info: info, rowShape: layout.shape}
		if !layout.varies() {
			var err error
			if t, err = b.allocate(info, layout.shape); err != nil {
				return fmt.Errorf("output %q: %w", info.Name, err)
			}
		}
		b.outputs = append(b.outputs, t)
	}
	for i := range b.buckets {
		at := &b.buckets[i]
		for j, t := range b.outputs {
			v, err := outputValue(t, b.layouts[j], at.size)
			if err != nil {
				return fmt.Errorf("output %q: %w", t.info.Name, err)
			}
			at.outputs = append(at.outputs, v)
		}
	}
	b.allocated = make([]unsafe.Pointer, len(b.outputs))
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

func outputValue(t tensor, layout rowLayout, size int) (value, error) {
	if t.block == nil {
		return value{}, nil
	}
	t.unbatched = layout.unbatched
	return t.value(size)
}

// sizes returns the batch sizes that Run accepts, ascending.
func (b *Batch) sizes() []int {
	sizes := make([]int, len(b.buckets))
	for i := range b.buckets {
		sizes[i] = b.buckets[i].size
	}
	return sizes
}

// Input returns the memory of one row of an input, in native byte order.
func (b *Batch) Input(input, row int) []byte { return b.inputs[input].row(row) }

// Reshape sets the shape of an input that the file leaves open, without the batch dimension, in a batch of one row. The input's
// memory grows as needed, and shrinks when much less is; its contents are undefined then.
func (b *Batch) Reshape(input int, shape []int64) error {
	if b.rows != 1 {
		return fmt.Errorf("reshape input %q: the batch has %d rows", b.inputs[input].info.Name, b.rows)
	}
	t := b.inputs[input]
	if slices.Equal(t.rowShape, shape) {
		return nil
	}
	if err := b.reshape(&t, shape); err != nil {
		return fmt.Errorf("reshape input %q to %v: %w", t.info.Name, shape, err)
	}
	v, err := t.value(1)
	if err != nil {
		if t.block != b.inputs[input].block {
			err = errors.Join(err, t.block.Free())
		}
		return fmt.Errorf("reshape input %q to %v: %w", t.info.Name, shape, err)
	}
	old, oldValue := b.inputs[input], b.buckets[0].inputs[input]
	b.inputs[input], b.buckets[0].inputs[input] = t, v
	b.buckets[0].hasRun = false
	err = oldValue.destroy()
	if old.block != t.block {
		err = errors.Join(err, old.block.Free())
	}
	return err
}

// Outputs returns the outputs of one row, in the session's order. Before the first Run they hold names, dtypes and row
// shapes; -1 is a size that varies between runs. The slice and the data belong to the batch: the next Run
// overwrites them, and they are invalid after Close. A row that the last Run did not compute holds nothing, or the result of
// an earlier run.
func (b *Batch) Outputs(row int) []postprocess.Tensor { return b.views[row] }

// Run computes the first rows rows; rows must be one of the buckets. Rows that were not written are computed from
// whatever they contain. When ctx ends, the run stops between two of the model's nodes with an error that wraps ctx's
// cause, and the batch remains usable. Any other error on CUDA is a *DeviceError; see IsDeviceLost.
func (b *Batch) Run(ctx context.Context, rows int) error {
	if e := b.parent.engineOf(rows); e != nil {
		if computed, err := b.runEngine(ctx, e, rows); computed {
			return err
		}
	}
	return b.run(ctx, b.session, rows)
}

// HasParallel reports whether the session has a parallel session (see EnableParallel).
func (b *Batch) HasParallel() bool { return b.parent.parallel.Load() != nil }

// RunParallel is Run on the parallel session, for a run that has all cores to itself; without one it is Run.
func (b *Batch) RunParallel(ctx context.Context, rows int) error {
	if parallel := b.parent.parallel.Load(); parallel != nil {
		return b.run(ctx, parallel, rows)
	}
	return b.Run(ctx, rows)
}

func (b *Batch) run(ctx context.Context, on *runtimeSession, rows int) error {
	i := slices.IndexFunc(b.buckets, func(at bucket) bool { return at.size == rows })
	if i < 0 {
		return fmt.Errorf("run of %d rows: the batch sizes are %v", rows, b.sizes())
	}
	if err := b.options.during(ctx, func() error { return b.call(on, &b.buckets[i]) }); err != nil {
		return fmt.Errorf("run %d rows of %s: %w", rows, b.parent.path, err)
	}
	return nil
}

// call runs one bucket. Only its first run is one of a new shape.
func (b *Batch) call(on *runtimeSession, at *bucket) error {
	if at.hasRun {
		return b.compute(on, at)
	}
	err := b.parent.preserve(func() error { return b.compute(on, at) })
	at.hasRun = err == nil
	return err
}

// Close frees the batch. No Run may be in progress. Calling it again does nothing.
func (b *Batch) Close() error {
	if b.session == nil {
		return nil
	}
	b.releaseOutputs()
	var errs []error
	for i := range b.buckets {
		for _, v := range slices.Concat(b.buckets[i].inputs, b.buckets[i].outputs) {
			errs = append(errs, v.destroy())
		}
	}
	for _, t := range append(b.inputs, b.outputs...) {
		if t.block != nil {
			errs = append(errs, t.block.Free())
		}
	}
	errs = append(errs, b.options.destroy())
	b.buckets, b.inputs, b.outputs, b.views, b.session, b.options = nil, nil, nil, nil, nil, runOptions{}
	b.parent.release()
	return errors.Join(errs...)
}
