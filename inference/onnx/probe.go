package onnx

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/inference/onnx/internal/sigaction"
	"fovea/internal/float16"
	"fovea/internal/repository"
)

// rowForm is what a row of an output is.
type rowForm struct {
	shape []int64 // without the batch dimension; -1 for a size that changes from run to run
	whole bool    // the output has no batch dimension (batches of one only): the row is all of it
}

func (f rowForm) varies() bool { return slices.Contains(f.shape, -1) }

// Trials is how many trial runs, each with other inputs, find the shapes that the file leaves open.
const Trials = 4

// trialTime is how long trial runs go on: one that begins later is left out, but for the first two.
const trialTime = 5 * time.Second

// outputForms finds what rows of the outputs are, by trial runs: files often leave shapes open that are always the same,
// and sometimes say too little. Batches of the same row shapes share it.
func (s *Session) outputForms(b *Batch, write func(trial, input, row int, memory []byte)) ([]rowForm, error) {
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
	forms, err := s.probe(b, write)
	if err != nil {
		return nil, fmt.Errorf("trial run: %w", err)
	}
	s.mu.Lock()
	s.probes[key] = forms
	s.mu.Unlock()
	return forms, nil
}

// trialRun is what one trial run with a number of rows gave.
type trialRun struct {
	rows   int
	shapes [][]int64 // of each output
}

// probe runs the smallest and the largest bucket with different inputs. One run is enough where the file leaves nothing
// open, and one of each size where it leaves nothing but the batch open. A trial that fails says nothing, unless all do.
func (s *Session) probe(b *Batch, write func(trial, input, row int, memory []byte)) ([]rowForm, error) {
	defer b.poison()
	small, large := &b.buckets[0], &b.buckets[len(b.buckets)-1]
	order := [Trials]*bucket{small, large, small, large}
	var runs []trialRun
	var failed error
	start := time.Now()
	for trial, at := range order {
		if trial >= 2 && time.Since(start) > trialTime || s.toldBy(runs, small.size != large.size) {
			break
		}
		shapes, err := b.trial(at, trial, write)
		if err != nil {
			if Sticky(err) {
				return nil, err
			}
			failed = cmp.Or(failed, err)
			continue
		}
		runs = append(runs, trialRun{at.size, shapes})
	}
	if len(runs) == 0 {
		return nil, failed
	}
	forms := make([]rowForm, len(s.outputs))
	for i, info := range s.outputs {
		var err error
		if forms[i], err = formOf(runs, i, large.size); err != nil {
			return nil, fmt.Errorf("output %q: %w", info.Name, err)
		}
	}
	return forms, nil
}

// toldBy says whether the runs so far tell the shapes, as they gave what the file declares, and that leaves nothing open, or
// nothing but the batch, where runs of two sizes agreed on it.
func (s *Session) toldBy(runs []trialRun, twoSizes bool) bool {
	if len(runs) == 0 || twoSizes && len(runs) < 2 {
		return false
	}
	for i, info := range s.outputs {
		declared := slices.Clone(info.Shape)
		if len(declared) == 0 || declared[0] == -1 && !twoSizes {
			return false
		}
		for _, run := range runs {
			if info.Shape[0] == -1 {
				declared[0] = int64(run.rows)
			}
			if !slices.Equal(declared, run.shapes[i]) {
				return false
			}
		}
	}
	return true
}

// formOf compares the shapes that runs gave output i; most is the most rows of a batch. A size that was 0 is open.
func formOf(runs []trialRun, i, most int) (rowForm, error) {
	first := runs[0].shapes[i]
	batched := len(first) > 0
	for _, run := range runs {
		shape := run.shapes[i]
		if len(shape) != len(first) {
			return rowForm{}, fmt.Errorf("its number of dimensions changes from run to run: %v, %v", first, shape)
		}
		if len(shape) == 0 || shape[0] != int64(run.rows) {
			batched = false
			if most > 1 {
				return rowForm{}, fmt.Errorf("its shape is %v in a batch of %d: the first dimension must be the batch, "+
					"or batching.max_size must be 1", shape, run.rows)
			}
		}
	}
	form := rowForm{shape: slices.Clone(first), whole: !batched}
	skip := 0
	if batched {
		form.shape, skip = form.shape[1:], 1
	}
	for at := range form.shape {
		for _, run := range runs {
			if size := run.shapes[i][at+skip]; size != first[at+skip] || size == 0 {
				form.shape[at] = -1
			}
		}
	}
	return form, nil
}

// trial fills the inputs of a bucket for a trial, runs it, and returns the outputs' shapes. The inputs are those of write, or
// nothing in the first trial and noise in the others.
func (b *Batch) trial(at *bucket, trial int, write func(trial, input, row int, memory []byte)) (shapes [][]int64, err error) {
	for i := range b.inputs {
		for row := range at.size {
			memory := b.Input(i, row)
			if write != nil {
				write(trial, i, row, memory)
				continue
			}
			random := rand.New(rand.NewPCG(uint64(trial), uint64(row))) //nolint:gosec // the same in every load
			fill(b.inputs[i].info.DType, memory, func() float32 { return min(1, float32(trial)) * random.Float32() })
		}
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
			if b.parent.outputs[i].DType == repository.Float16 {
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
		if info.DType != repository.Float16 {
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

// fill writes a value to each element; integers get 255 times it for bytes, 1 otherwise (a size, an index).
func fill(dtype repository.DType, memory []byte, value func() float32) {
	size := dtype.Size()
	for i := range len(memory) / size {
		at := memory[i*size:]
		switch dtype {
		case repository.Float32:
			binary.NativeEndian.PutUint32(at, math.Float32bits(value()))
		case repository.Float16:
			binary.NativeEndian.PutUint16(at, float16.Bits(value()))
		case repository.Uint8:
			at[0] = byte(255 * value())
		case repository.Int32:
			binary.NativeEndian.PutUint32(at, 1)
		case repository.Int64:
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
