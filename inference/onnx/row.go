package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// RunRow computes one row alone, after a run of several failed, and leaves those of other rows as they are. A file that fixes the
// batch size at more than one row cannot do that. It ends like Run.
func (b *Batch) RunRow(ctx context.Context, row int) error {
	if b.buckets[0].size != 1 {
		return fmt.Errorf("run of row %d alone: the batch sizes are %v", row, b.sizes())
	}
	if err := b.options.during(ctx, func() error { return b.computeRow(row) }); err != nil {
		return fmt.Errorf("run row %d of %s: %w", row, b.parent.path, err)
	}
	return nil
}

// computeRow runs on the row's memory, lets ONNX Runtime allocate the outputs, and copies these.
func (b *Batch) computeRow(row int) (err error) {
	var inputs []value
	defer func() {
		for _, v := range inputs {
			err = errors.Join(err, v.destroy())
		}
	}()
	for _, t := range b.inputs {
		shape := t.rowShape
		if !t.unbatched {
			shape = append([]int64{1}, shape...)
		}
		v, err := newValue(t.info.DType, shape, t.row(row))
		if err != nil {
			return fmt.Errorf("input %q: %w", t.info.Name, err)
		}
		inputs = append(inputs, v)
	}
	outputs := make([]unsafe.Pointer, len(b.outputs))
	if err := b.parent.run(b.session, b.options, b.parent.names, handles(inputs), outputs); err != nil {
		return err
	}
	for i, output := range outputs {
		if copyErr := b.copyOutput(i, row, output); copyErr != nil {
			err = errors.Join(err, fmt.Errorf("output %q: %w", b.outputs[i].info.Name, copyErr))
		}
		b.parent.api.Release(output)
	}
	return err
}

// copyOutput copies an output of one row to its place in the batch.
func (b *Batch) copyOutput(i, row int, from unsafe.Pointer) error {
	shape, data, err := b.outputOf(i, from)
	if err != nil {
		return err
	}
	t, view := &b.outputs[i], &b.views[row][i]
	if !b.layouts[i].unbatched {
		if len(shape) == 0 || shape[0] != 1 {
			return fmt.Errorf("its shape is %v for one row", shape)
		}
		shape = shape[1:]
	}
	switch {
	case t.block == nil:
		view.Shape, view.Data = slices.Clone(shape), slices.Clone(data)
	case !slices.Equal(shape, t.rowShape):
		return fmt.Errorf("its shape is %v for a row of %v", shape, t.rowShape)
	default:
		copy(view.Data, data)
	}
	return nil
}
