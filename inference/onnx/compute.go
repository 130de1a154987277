package onnx

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
)

// compute runs a bucket. An output that was preallocated because all trial runs agreed on its shape may still turn out
// to have another one. ONNX Runtime then fails the run, and it is repeated with such outputs allocated by ONNX Runtime.
func (b *Batch) compute(on *runtimeSession, at *bucket) error {
	err := b.runOnce(on, at)
	if err == nil || IsDeviceLost(err) {
		return err
	}
	inferred := b.inferredOutputs()
	if len(inferred) == 0 {
		return err
	}
	saved := slices.Clone(at.outputs)
	for _, i := range inferred {
		at.outputs[i] = value{}
	}
	retryErr := b.runOnce(on, at)
	at.outputs = saved
	if retryErr != nil {
		return err
	}
	return b.freeOutputs(inferred, at.size)
}

// runOnce runs a bucket and adopts the outputs that ONNX Runtime allocated.
func (b *Batch) runOnce(on *runtimeSession, at *bucket) error {
	b.releaseOutputs()
	outputs := handles(at.outputs)
	if err := b.parent.run(on, b.options, b.parent.names, handles(at.inputs), outputs); err != nil {
		return err
	}
	var errs []error
	for i, v := range at.outputs {
		if v.tensor != nil {
			continue
		}
		b.allocated[i] = outputs[i]
		if err := b.adopt(i, at.size); err != nil {
			errs = append(errs, fmt.Errorf("output %q: %w", b.outputs[i].info.Name, err))
		}
	}
	return errors.Join(errs...)
}

// run runs one of the session's ONNX Runtime sessions. The error of a node is a *RunError, and any other on CUDA a *DeviceError.
func (s *Session) run(on *runtimeSession, o runOptions, names *native.Names, inputs, outputs []unsafe.Pointer) error {
	if err := s.api.Run(on.handle, o.handle, names, inputs, outputs, on.sequential); err != nil {
		return s.classify(runError(err))
	}
	return nil
}

// preserve calls run. On CUDA each new shape may load more CUDA libraries, which install signal handlers.
func (s *Session) preserve(run func() error) (err error) {
	if s.device.Kind != CUDA {
		return run()
	}
	sigaction.Preserve(func() { err = run() })
	return err
}

func handles(values []value) []unsafe.Pointer {
	list := make([]unsafe.Pointer, len(values))
	for i, v := range values {
		list[i] = v.handle
	}
	return list
}

// releaseOutputs releases what ONNX Runtime allocated in the last run.
func (b *Batch) releaseOutputs() {
	for i, handle := range b.allocated {
		if handle == nil {
			continue
		}
		for row := range b.views {
			b.views[row][i].Data = nil
		}
		b.parent.api.Release(handle)
		b.allocated[i] = nil
	}
}

// adopt points the rows of output i at the memory that ONNX Runtime allocated for it.
func (b *Batch) adopt(i, rows int) error {
	shape, data, err := b.outputOf(i, b.allocated[i])
	if err != nil {
		return err
	}
	return b.setRows(i, rows, shape, data)
}

// outputOf returns the shape and the memory of output i that ONNX Runtime allocated.
func (b *Batch) outputOf(i int, from unsafe.Pointer) (shape []int64, data []byte, err error) {
	shape, p, err := b.parent.api.Tensor(from)
	if err != nil {
		return nil, nil, err
	}
	elements := int64(1)
	for _, n := range shape {
		elements *= n
	}
	return shape, unsafe.Slice((*byte)(p), int(elements)*b.outputs[i].info.DType.Size()), nil
}

// setRows points the rows of output i at data, which has the shape of this run.
func (b *Batch) setRows(i, rows int, shape []int64, data []byte) error {
	if b.rows == 1 && len(shape) > 0 && shape[0] != 1 {
		b.layouts[i].unbatched = true // its first dimension happened to be 1 in the trial runs
	}
	layout := b.layouts[i]
	if layout.unbatched {
		b.views[0][i].Shape, b.views[0][i].Data = shape, data
		return nil
	}
	if len(shape) != len(layout.shape)+1 || shape[0] != int64(rows) {
		return fmt.Errorf("its shape is %v for a batch of %d with rows of %v", shape, rows, layout.shape)
	}
	size := len(data) / rows
	for row := range rows {
		b.views[row][i].Shape, b.views[row][i].Data = shape[1:], data[row*size:(row+1)*size:(row+1)*size]
	}
	return nil
}

// inferredOutputs returns the preallocated outputs whose shape comes from trial runs, not from the file.
func (b *Batch) inferredOutputs() (list []int) {
	for i, t := range b.outputs {
		declared := t.info.Shape
		if b.rows > 1 && len(declared) > 0 {
			declared = declared[1:] // the batch
		}
		open := len(t.info.Shape) == 0 || slices.Contains(declared, -1)
		if t.block != nil && open {
			list = append(list, i)
		}
	}
	return list
}

// freeOutputs frees preallocated outputs whose shape varies after all; ONNX Runtime allocates them from now on. The data
// of the first rows rows is already elsewhere.
func (b *Batch) freeOutputs(outputs []int, rows int) error {
	var errs []error
	for _, i := range outputs {
		for row := rows; row < b.rows; row++ {
			b.views[row][i].Data = nil
		}
		for j := range b.buckets {
			errs = append(errs, b.buckets[j].outputs[i].destroy())
			b.buckets[j].outputs[i] = value{}
		}
		errs = append(errs, b.outputs[i].block.Free())
		b.outputs[i].block = nil
	}
	return errors.Join(errs...)
}

// classify turns the error of a run on CUDA into a *DeviceError.
func (s *Session) classify(err error) error {
	if s.device.Kind != CUDA {
		return err
	}
	persistent := 0
	if cuda, openErr := openCUDA(); openErr == nil {
		persistent = cuda.State(s.device.Index)
	}
	return deviceError(s.device, err, persistent)
}
