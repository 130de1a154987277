package inference

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/repository"
)

// canBatch reports whether rows of different requests can share batches of a model without a task: its definition asks for
// batches, the first dimension of every tensor is open, and rows are of one size and of numbers.
func (v *version) canBatch() bool {
	if v.definition.Batching.MaxSize < 2 {
		return false
	}
	for i, info := range slices.Concat(v.inputs, v.outputs) {
		if info.DType.Size() == 0 || len(info.Shape) == 0 || info.Shape[0] >= 0 {
			return false
		}
		if i < len(v.inputs) && slices.ContainsFunc(info.Shape[1:], func(n int64) bool { return n < 1 }) {
			return false
		}
	}
	return true
}

// buildNoTask makes a group of a model without a task.
func (v *version) buildNoTask(ctx context.Context, s *onnx.Session, p groupSpec) error {
	g, err := v.newGroupNoTask(ctx, s, p)
	if err != nil {
		return err
	}
	v.groups = append(v.groups, g)
	return v.warmUpNoTask(ctx, s)
}

// newGroupNoTask makes the instances of a session of a model without a task, and batches if it can have any.
func (v *version) newGroupNoTask(ctx context.Context, s *onnx.Session, p groupSpec) (*batcher.Group, error) {
	if !v.canBatch() {
		cfg := v.groupConfig(p, []int{1})
		cfg.OwnOnly = true
		return v.batcher.Add(cfg, nil)
	}
	v.rowShapes = make([][]int64, len(v.inputs))
	for i, info := range v.inputs {
		v.rowShapes[i] = info.Shape[1:]
	}
	buckets := batchSizes(p.device, v.definition.Batching.MaxSize, 0)
	spec := onnx.BatchSpec{Buckets: buckets, RowShapes: v.rowShapes}
	return v.batcher.Add(v.groupConfig(p, buckets), func() (batcher.Runner, error) { return v.newBatch(ctx, s, spec) })
}

// warmUpNoTask runs a session with zeros once, in the smallest size that its inputs have. Whether the model can compute these is
// unknown, so that the error of a node is none.
func (v *version) warmUpNoTask(ctx context.Context, s *onnx.Session) error {
	if v.definition.Warmup == 0 || slices.ContainsFunc(v.inputs, func(info repository.TensorInfo) bool { return info.DType == repository.String }) {
		return nil
	}
	in := make([]Tensor, len(v.inputs))
	for i, info := range v.inputs {
		t := Tensor{Name: info.Name, DType: info.DType, Shape: slices.Clone(info.Shape)}
		for at := range t.Shape {
			t.Shape[at] = max(t.Shape[at], 1)
		}
		t.Data = make([]byte, elementsOf(t.Shape)*int64(onnx.FeedSize(info.DType)))
		in[i] = t
	}
	feed, err := s.NewFeed(in)
	if err != nil {
		return err
	}
	err = errors.Join(feed.Run(ctx, 1), feed.Close())
	if ctx.Err() != nil || onnx.IsDeviceLost(err) {
		return fmt.Errorf("warm-up on %s: %w", s.Device(), err)
	}
	return nil
}

// noteUndefined warns that there are no predictions, for lack of a definition.
func (v *version) noteUndefined() {
	if v.entry.Undefined == nil {
		return
	}
	v.warnings = append(v.warnings, "it has no task, and takes tensors only: "+v.entry.Undefined.Error())
	v.shared.log.Warn("the model has no definition, and takes tensors only", "model", v.model, "version", v.name, "reason", v.entry.Undefined)
}
