package onnx

import (
	"errors"
	"fmt"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
)

// compute runs a bucket. An output that was given memory because all trial runs agreed on its shape may still
// turn out to have another one; ONNX Runtime then fails the run, and it is done again with memory of its own.
func (b *Batch) compute(on *ort.DynamicAdvancedSession, at *bucket, options *ort.RunOptions) error {
	err := b.try(on, at, options)
	if err == nil || Sticky(err) {
		return err
	}
	guessed := b.guessed()
	if len(guessed) == 0 {
		return err
	}
	kept := slices.Clone(at.outputs)
	for _, i := range guessed {
		at.outputs[i] = nil
	}
	again := b.try(on, at, options)
	at.outputs = kept
	if again != nil {
		return err
	}
	return b.giveUp(guessed, at.size)
}

// try runs a bucket once and takes over the outputs that ONNX Runtime allocated.
func (b *Batch) try(on *ort.DynamicAdvancedSession, at *bucket, options *ort.RunOptions) (err error) {
	allocated := make([]int, 0, 8)
	for i := range at.outputs {
		if at.outputs[i] == nil {
			allocated = append(allocated, i)
		}
	}
	err = on.RunWithOptions(at.inputs, at.outputs, options)
	if err != nil {
		err = b.parent.classify(err)
	}
	for _, i := range allocated {
		if !present(at.outputs[i]) { // the run failed
			at.outputs[i] = nil
			continue
		}
		shape, data, takeErr := take(at.outputs[i])
		at.outputs[i] = nil
		if takeErr == nil {
			takeErr = b.share(i, at.size, shape, data)
		}
		if takeErr != nil {
			err = errors.Join(err, fmt.Errorf("output %q: %w", b.outputs[i].info.Name, takeErr))
		}
	}
	return err
}

// share makes data, of the shape that a run gave it, the rows of output i.
func (b *Batch) share(i, rows int, shape []int64, data []byte) error {
	if b.rows == 1 && len(shape) > 0 && shape[0] != 1 {
		b.forms[i].whole = true // its first dimension was 1 by chance when it was probed
	}
	form := b.forms[i]
	if form.whole {
		b.views[0][i].Shape, b.views[0][i].Data = shape, data
		return nil
	}
	if len(shape) != len(form.shape)+1 || shape[0] != int64(rows) {
		return fmt.Errorf("its shape is %v for a batch of %d with rows of %v", shape, rows, form.shape)
	}
	size := len(data) / rows
	for row := range rows {
		b.views[row][i].Shape, b.views[row][i].Data = shape[1:], data[row*size:(row+1)*size:(row+1)*size]
	}
	return nil
}

// guessed are the outputs that have memory though the file leaves their shape open.
func (b *Batch) guessed() (list []int) {
	for i, t := range b.outputs {
		if t.info.DType == repository.Float16 {
			continue // ONNX Runtime cannot allocate it for us; the file told its shape
		}
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

// giveUp frees the memory of outputs whose shape changes after all; from now on ONNX Runtime allocates them.
// The first rows rows have their data elsewhere already.
func (b *Batch) giveUp(outputs []int, rows int) error {
	var errs []error
	for _, i := range outputs {
		for row := rows; row < b.rows; row++ {
			b.views[row][i].Data = nil
		}
		for j := range b.buckets {
			errs = append(errs, destroy(b.buckets[j].outputs[i:i+1]))
			b.buckets[j].outputs[i] = nil
		}
		errs = append(errs, b.outputs[i].block.Free())
		b.outputs[i].block = nil
	}
	return errors.Join(errs...)
}

// classify makes a *DeviceError of what a run on CUDA returned.
func (s *Session) classify(err error) error {
	if s.device.Kind != CUDA {
		return err
	}
	return deviceError(s.device, err, func() int {
		cuda, openErr := openCUDA()
		if openErr != nil {
			return 0
		}
		return cuda.State(s.device.Index)
	})
}
