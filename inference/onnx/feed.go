package onnx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
	"fovea/postprocess"
)

// feedTypes are the element types of tensors that a feed takes and returns: those of batches, and more.
var feedTypes = func() map[repository.DType]ort.TensorElementDataType {
	types := maps.Clone(elements)
	types[repository.BFloat16] = ort.TensorElementDataTypeBFloat16
	types[repository.String] = ort.TensorElementDataTypeString
	return types
}()

// CanFeed reports whether a feed takes and returns tensors of an element type.
func CanFeed(dtype repository.DType) bool { return feedTypes[dtype] != 0 }

// FeedSize returns the size of an element in bytes; 0 for strings, whose size varies, and for types that CanFeed does not accept.
func FeedSize(dtype repository.DType) int {
	if dtype == repository.BFloat16 {
		return 2
	}
	return dtype.Size()
}

// Fetched are the outputs that a feed returns: those of the ONNX file, of a type that CanFeed accepts.
func (f *File) Fetched() []Info {
	return slices.DeleteFunc(slices.Clone(f.Outputs), func(info Info) bool { return !CanFeed(info.DType) })
}

// Feed is one run with separate tensors, of any shapes that the model takes. It belongs to one goroutine at a time.
type Feed struct {
	parent  *Session
	session *runtimeSession // nil once closed
	options runOptions
	inputs  []unsafe.Pointer // *OrtValue
	outputs []unsafe.Pointer // of the last run; nil before
	views   []postprocess.Tensor
}

// NewFeed copies the inputs, which are whole tensors in the order of the file, into memory of the runtime. Shape has all
// dimensions; Data is in the machine's byte order and fits the shape. A string has its length in four bytes in front, the lowest
// first.
func (s *Session) NewFeed(inputs []postprocess.Tensor) (feed *Feed, err error) {
	if len(inputs) != len(s.inputs) {
		return nil, fmt.Errorf("run %s: %d inputs; the model has %d", s.path, len(inputs), len(s.inputs))
	}
	session, err := s.open()
	if err != nil {
		return nil, err
	}
	f := &Feed{parent: s, session: session}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("run %s: %w", s.path, err), f.Close())
		}
	}()
	if f.options, err = newRunOptions(); err != nil {
		return nil, err
	}
	for i, in := range inputs {
		v, err := s.feedTensor(s.inputs[i], in)
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", s.inputs[i].Name, err)
		}
		f.inputs = append(f.inputs, v)
	}
	return f, nil
}

// feedTensor copies an input after it has checked its size, which ONNX Runtime cannot know.
func (s *Session) feedTensor(info Info, in postprocess.Tensor) (unsafe.Pointer, error) {
	elements, err := countFeed(in.Shape)
	if err != nil {
		return nil, err
	}
	if in.DType != info.DType || !CanFeed(in.DType) {
		return nil, fmt.Errorf("is %s; the model takes %s", in.DType, info.DType)
	}
	if in.DType == repository.String {
		err = checkStrings(in.Data, elements)
	} else if size := elements * FeedSize(in.DType); size != len(in.Data) {
		err = fmt.Errorf("has %d bytes; %s %v takes %d", len(in.Data), in.DType, in.Shape, size)
	}
	if err != nil {
		return nil, err
	}
	return s.api.NewTensor(int(feedTypes[in.DType]), in.Shape, in.Data)
}

// countFeed returns the number of elements of a shape, which may have no dimensions or sizes of 0.
func countFeed(shape []int64) (int, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > maxElements {
			return 0, fmt.Errorf("has the shape %v", shape)
		}
		if n *= d; n > maxElements {
			return 0, fmt.Errorf("has more than %d elements: %v", maxElements, shape)
		}
	}
	return int(n), nil
}

// checkStrings checks that data holds a number of strings, each with its length in four bytes in front, and nothing else.
func checkStrings(data []byte, count int) error {
	rest := data
	for range count {
		if len(rest) < 4 {
			return errors.New("has fewer strings than its shape")
		}
		n := uint64(rest[0]) | uint64(rest[1])<<8 | uint64(rest[2])<<16 | uint64(rest[3])<<24
		if n > uint64(len(rest)-4) {
			return errors.New("has a string that is longer than its data")
		}
		rest = rest[4+n:]
	}
	if len(rest) > 0 {
		return errors.New("has more data than its shape")
	}
	return nil
}

// Input implements batcher.Runner. The inputs are given to NewFeed.
func (f *Feed) Input(int, int) []byte { return nil }

// Reshape implements batcher.Runner. The shapes are given to NewFeed.
func (f *Feed) Reshape(int, []int64) error { return errors.New("the shapes of a feed are fixed") }

// Run computes all outputs that File.Fetched lists. When ctx ends, it stops between two of the model's nodes with an error that
// wraps ctx's cause. The error of a node is a *RunError, and any other on CUDA a *DeviceError.
func (f *Feed) Run(ctx context.Context, _ int) error { return f.run(ctx, f.session) }

// RunRow implements batcher.Runner. A feed has one row.
func (f *Feed) RunRow(ctx context.Context, _ int) error { return f.run(ctx, f.session) }

// HasParallel reports whether the session has a parallel session.
func (f *Feed) HasParallel() bool { return f.parent.parallel.Load() != nil }

// RunParallel is Run on the parallel session.
func (f *Feed) RunParallel(ctx context.Context, _ int) error {
	if parallel := f.parent.parallel.Load(); parallel != nil {
		return f.run(ctx, parallel)
	}
	return f.run(ctx, f.session)
}

func (f *Feed) run(ctx context.Context, on *runtimeSession) error {
	if err := f.options.during(ctx, func() error { return f.call(on) }); err != nil {
		return fmt.Errorf("run %s: %w", f.parent.path, err)
	}
	return f.read()
}

// call runs the session.
func (f *Feed) call(on *runtimeSession) error {
	f.releaseOutputs()
	outputs := make([]unsafe.Pointer, len(f.parent.feedOutputs))
	err := f.parent.preserve(func() error {
		return f.parent.run(on, f.options, f.parent.feedNames, f.inputs, outputs)
	})
	if err == nil {
		f.outputs = outputs
	}
	return err
}

// read makes the views of the outputs.
func (f *Feed) read() error {
	f.views = make([]postprocess.Tensor, len(f.outputs))
	for i, info := range f.parent.feedOutputs {
		view := &f.views[i]
		view.Name, view.DType = info.Name, info.DType
		if info.DType == repository.String {
			if err := f.readStrings(i); err != nil {
				return fmt.Errorf("output %q: %w", info.Name, err)
			}
			continue
		}
		shape, p, err := f.parent.api.Tensor(f.outputs[i])
		if err != nil {
			return fmt.Errorf("output %q: %w", info.Name, err)
		}
		elements, err := countFeed(shape)
		if err != nil {
			return fmt.Errorf("output %q %w", info.Name, err)
		}
		if view.Shape = shape; elements > 0 {
			view.Data = unsafe.Slice((*byte)(p), elements*FeedSize(info.DType))
		}
	}
	return nil
}

func (f *Feed) readStrings(i int) (err error) {
	view := &f.views[i]
	if view.Shape, err = f.parent.api.Shape(f.outputs[i]); err != nil {
		return err
	}
	count, err := countFeed(view.Shape)
	if err == nil {
		view.Data, err = f.parent.api.Strings(f.outputs[i], count)
	}
	return err
}

// Outputs implements batcher.Runner: the outputs of the last run, whole tensors with all dimensions, valid until the next or
// Close.
func (f *Feed) Outputs(int) []postprocess.Tensor { return f.views }

func (f *Feed) releaseOutputs() {
	for _, v := range f.outputs {
		f.parent.api.Release(v)
	}
	f.outputs, f.views = nil, nil
}

// Close frees the tensors. No Run may be in progress. Calling it again does nothing.
func (f *Feed) Close() error {
	if f.session == nil {
		return nil
	}
	f.releaseOutputs()
	for _, v := range f.inputs {
		f.parent.api.Release(v)
	}
	err := f.options.destroy()
	f.inputs, f.session, f.options = nil, nil, runOptions{}
	f.parent.release()
	return err
}
