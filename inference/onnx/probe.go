package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
	"fovea/internal/float16"
	"fovea/models"
)

// rowForm is what a row of an output is.
type rowForm struct {
	shape []int64 // without the batch dimension; -1 for a size that changes from run to run
	whole bool    // the output has no batch dimension (batches of one only): the row is all of it
}

func (f rowForm) varies() bool { return slices.Contains(f.shape, -1) }

// outputForms finds what rows of the outputs are, by running b's smallest and largest bucket: files often leave
// shapes open that are always the same, and sometimes say too little. Batches of the same row shapes share it.
func (s *Session) outputForms(b *Batch) ([]rowForm, error) {
	key := fmt.Sprint(b.rows, b.buckets[0].size)
	for _, t := range b.inputs {
		key += fmt.Sprint(t.rowShape)
	}
	s.mu.Lock()
	forms, known := s.probes[key]
	s.mu.Unlock()
	if known {
		return forms, nil
	}
	forms, err := s.probe(b)
	if err != nil {
		return nil, fmt.Errorf("probe run: %w", err)
	}
	s.mu.Lock()
	s.probes[key] = forms
	s.mu.Unlock()
	return forms, nil
}

func (s *Session) probe(b *Batch) ([]rowForm, error) {
	defer b.poison()
	small, large := &b.buckets[0], &b.buckets[len(b.buckets)-1]
	first, err := b.probeShapes(small, func(int) float32 { return 0 })
	if err != nil {
		return nil, err
	}
	if forms := s.declaredForms(first, small.size, large.size); forms != nil {
		return forms, nil
	}
	second, err := b.probeShapes(large, func(i int) float32 { return float32(i*7919%256) / 255 })
	if err != nil {
		return nil, err
	}
	forms := make([]rowForm, len(s.outputs))
	for i, info := range s.outputs {
		if forms[i], err = formOf(first[i], second[i], small.size, large.size); err != nil {
			return nil, fmt.Errorf("output %q: %w", info.Name, err)
		}
	}
	return forms, nil
}

// declaredForms are the forms of the outputs as the file declares them, where it leaves nothing but the batch open and a
// run with small rows gave just that; else nil.
func (s *Session) declaredForms(ran [][]int64, small, large int) []rowForm {
	forms := make([]rowForm, len(s.outputs))
	for i, info := range s.outputs {
		declared := slices.Clone(info.Shape)
		if len(declared) == 0 || declared[0] != -1 && small != large {
			return nil
		}
		declared[0] = int64(small)
		if !slices.Equal(declared, ran[i]) {
			return nil
		}
		forms[i] = rowForm{shape: declared[1:]}
	}
	return forms
}

// formOf compares the shapes of two runs with n and m rows.
func formOf(a, b []int64, n, m int) (rowForm, error) {
	batched := len(a) > 0 && len(a) == len(b) && a[0] == int64(n) && b[0] == int64(m)
	if !batched && m > 1 {
		return rowForm{}, fmt.Errorf("its shape is %v in a batch of %d: the first dimension must be the batch", b, m)
	}
	if len(a) != len(b) {
		return rowForm{}, fmt.Errorf("its number of dimensions changes from run to run: %v, %v", a, b)
	}
	form := rowForm{shape: slices.Clone(a), whole: !batched}
	if batched {
		form.shape, b = form.shape[1:], b[1:]
	}
	for i := range form.shape {
		if form.shape[i] != b[i] || b[i] == 0 {
			form.shape[i] = -1
		}
	}
	return form, nil
}

// probeShapes fills the inputs of a bucket with value(element), runs it, and returns the outputs' shapes.
func (b *Batch) probeShapes(at *bucket, value func(int) float32) (shapes [][]int64, err error) {
	for i := range b.inputs {
		fill(b.inputs[i].info.DType, b.inputs[i].block.Bytes(), value)
	}
	outputs, free, err := b.probeOutputs(at.size)
	defer func() { err = errors.Join(err, free()) }()
	if err != nil {
		return nil, err
	}
	run := func() { err = b.session.RunWithOptions(at.inputs, outputs, b.options) }
	if b.parent.device.Kind == CUDA {
		sigaction.Preserve(run)
	} else {
		run()
	}
	if err != nil {
		return nil, b.parent.classify(err)
	}
	for _, output := range outputs {
		shapes = append(shapes, output.GetShape())
	}
	return shapes, nil
}

// probeOutputs leaves the outputs to ONNX Runtime, except those of float16, which the wrapper cannot take over:
// the file must tell the shape of these. The caller calls free in any case.
func (b *Batch) probeOutputs(size int) (outputs []ort.Value, free func() error, err error) {
	outputs = make([]ort.Value, len(b.parent.outputs))
	var blocks []*native.Block
	free = func() error {
		var errs []error
		for i, output := range outputs {
			if b.parent.outputs[i].DType == models.Float16 {
				errs = append(errs, destroy(outputs[i:i+1]))
			} else if present(output) {
				errs = append(errs, output.Destroy())
			}
		}
		for _, block := range blocks {
			errs = append(errs, block.Free())
		}
		return errors.Join(errs...)
	}
	for i, info := range b.parent.outputs {
		if info.DType != models.Float16 {
			continue
		}
		shape := slices.Clone(info.Shape)
		if len(shape) > 0 && shape[0] < 0 {
			shape[0] = int64(size)
		}
		n, err := count(shape)
		if err != nil || len(shape) == 0 {
			return outputs, free, fmt.Errorf("output %q is float16 and the file leaves its shape open, %v; "+
				"it must be fixed except for the batch", info.Name, info.Shape)
		}
		block, err := b.parent.memory(n * info.DType.Size())
		if err != nil {
			return outputs, free, err
		}
		blocks = append(blocks, block)
		if outputs[i], err = newValue(info.DType, shape, block.Bytes()); err != nil {
			return outputs, free, fmt.Errorf("output %q: %w", info.Name, err)
		}
	}
	return outputs, free, nil
}

// fill writes value(i) to element i; integers get 255 times it for bytes, 1 otherwise (a size, an index).
func fill(dtype models.DType, memory []byte, value func(int) float32) {
	size := dtype.Size()
	for i := range len(memory) / size {
		at := memory[i*size:]
		switch dtype {
		case models.Float32:
			binary.NativeEndian.PutUint32(at, math.Float32bits(value(i)))
		case models.Float16:
			binary.NativeEndian.PutUint16(at, float16.Bits(value(i)))
		case models.Uint8:
			at[0] = byte(255 * value(i))
		case models.Int32:
			binary.NativeEndian.PutUint32(at, 1)
		case models.Int64:
			binary.NativeEndian.PutUint64(at, 1)
		}
	}
}

// poison makes the inputs what they are at birth.
func (b *Batch) poison() {
	for i := range b.inputs {
		memory := b.inputs[i].block.Bytes()
		for j := range memory {
			memory[j] = 0xFF
		}
	}
}
