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
	"unsafe"

	"fovea/internal/float16"
	"fovea/internal/repository"
)

// rowLayout describes one row of an output.
type rowLayout struct {
	shape     []int64 // without the batch dimension; -1: varies between runs
	unbatched bool    // the output has no batch dimension (batches of one only): the row is the whole output
}

func (l rowLayout) varies() bool { return slices.Contains(l.shape, -1) }

// Trials is the number of trial runs, each with different inputs, that determine the shapes left open by the file.
const Trials = 4

// trialTime bounds the trial runs: the third and fourth are skipped once it has passed.
const trialTime = 5 * time.Second

// ErrNotBatched is the error of a batch of several rows of a model with an output that they do not share evenly, such as the boxes
// of all images.
var ErrNotBatched = errors.New("the first dimension must be the batch")

// outputLayouts determines the row layouts of the outputs by trial runs: files often leave open shapes that never change,
// and some declare too little. Batches with the same row shapes share the result.
func (s *Session) outputLayouts(b *Batch, spec BatchSpec) ([]rowLayout, error) {
	key := fmt.Sprint(b.rows, b.buckets[0].size)
	for _, t := range b.inputs {
		key += fmt.Sprint(t.rowShape)
	}
	if known, ok := s.layouts.Load(key); ok {
		return known.([]rowLayout), nil
	}
	layouts, err := s.runTrials(b, spec)
	if err != nil {
		return nil, fmt.Errorf("trial run: %w", err)
	}
	s.layouts.Store(key, layouts)
	return layouts, nil
}

// trialRun is the result of one trial run.
type trialRun struct {
	rows   int
	shapes [][]int64 // of each output
}

// runTrials runs the smallest and the largest bucket with different inputs. One run is enough if the file fixes every
// shape, and one of each size if it leaves only the batch dimension open. A failed trial is ignored unless all fail.
func (s *Session) runTrials(b *Batch, spec BatchSpec) (layouts []rowLayout, err error) {
	initial := b.rowShapes()
	defer func() { err = errors.Join(err, b.reshapeAll(initial)); b.resetInputs() }()
	small, large := &b.buckets[0], &b.buckets[len(b.buckets)-1]
	order := [Trials]*bucket{small, large, small, large}
	var runs []trialRun
	var failed error
	start := time.Now()
	for trial, at := range order {
		if trial >= 2 && time.Since(start) > trialTime || s.shapesKnown(runs, small.size != large.size) {
			break
		}
		shapes, err := b.trial(at, trial, spec)
		if err != nil {
			if IsDeviceLost(err) {
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
	layouts = make([]rowLayout, len(s.outputs))
	for i, info := range s.outputs {
		if layouts[i], err = layoutOf(runs, i, large.size, s.unbatched(initial)); err != nil {
			return nil, fmt.Errorf("output %q: %w", info.Name, err)
		}
	}
	return layouts, nil
}

// shapesKnown reports whether no further trial is needed: every run matched the declared shapes, and these are fixed
// except possibly for the batch dimension, which then held in runs of two sizes.
func (s *Session) shapesKnown(runs []trialRun, twoSizes bool) bool {
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

// layoutOf compares the shapes of output i across runs; maxRows is the largest batch size. A size of 0 counts as varying. A
// model whose inputs are unbatched has no batch dimension in its outputs either.
func layoutOf(runs []trialRun, i, maxRows int, unbatched bool) (rowLayout, error) {
	first := runs[0].shapes[i]
	batched := len(first) > 0 && !unbatched
	for _, run := range runs {
		shape := run.shapes[i]
		if len(shape) != len(first) {
			return rowLayout{}, fmt.Errorf("its number of dimensions varies between runs: %v, %v", first, shape)
		}
		if len(shape) == 0 || shape[0] != int64(run.rows) {
			batched = false
			if maxRows > 1 {
				return rowLayout{}, fmt.Errorf("its shape is %v in a batch of %d: %w, or batching.max_size must be 1", shape, run.rows, ErrNotBatched)
			}
		}
	}
	layout := rowLayout{shape: slices.Clone(first), unbatched: !batched}
	skip := 0
	if batched {
		layout.shape, skip = layout.shape[1:], 1
	}
	for at := range layout.shape {
		for _, run := range runs {
			if size := run.shapes[i][at+skip]; size != first[at+skip] || size == 0 {
				layout.shape[at] = -1
			}
		}
	}
	return layout, nil
}

// trial shapes and fills the inputs of a bucket, runs it, and returns the shapes of the outputs, which ONNX Runtime allocates.
// Without a function that fills them, the inputs are zeros in the first trial and noise in the others.
func (b *Batch) trial(at *bucket, trial int, spec BatchSpec) (shapes [][]int64, err error) {
	if spec.TrialShapes != nil {
		if err := b.reshapeAll(spec.TrialShapes(trial)); err != nil {
			return nil, err
		}
	}
	for i := range b.inputs {
		for row := range at.size {
			b.fill(spec.Trial, trial, i, row)
		}
	}
	outputs := make([]unsafe.Pointer, len(b.parent.outputs))
	err = b.parent.preserve(func() error {
		return b.parent.run(b.session, b.options, b.parent.names, handles(at.inputs), outputs)
	})
	if err != nil {
		return nil, err
	}
	for _, output := range outputs {
		shape, _, shapeErr := b.parent.api.Tensor(output)
		b.parent.api.Release(output)
		shapes, err = append(shapes, shape), errors.Join(err, shapeErr)
	}
	return shapes, err
}

// fill writes one row of an input for a trial.
func (b *Batch) fill(with FillTrial, trial, input, row int) {
	memory := b.Input(input, row)
	if with != nil {
		with(trial, input, row, memory)
		return
	}
	random := rand.New(rand.NewPCG(uint64(trial), uint64(row))) //nolint:gosec // repeatable
	fillElements(b.inputs[input].info.DType, memory, func() float32 { return min(1, float32(trial)) * random.Float32() })
}

// rowShapes returns the shapes of the inputs.
func (b *Batch) rowShapes() [][]int64 {
	shapes := make([][]int64, len(b.inputs))
	for i, t := range b.inputs {
		shapes[i] = t.rowShape
	}
	return shapes
}

// reshapeAll reshapes the inputs whose shape differs.
func (b *Batch) reshapeAll(shapes [][]int64) error {
	for i, shape := range shapes {
		if slices.Equal(b.inputs[i].rowShape, shape) {
			continue
		}
		if err := b.Reshape(i, shape); err != nil {
			return err
		}
	}
	return nil
}

// fillElements writes value to each element: scaled to 255 for uint8, and 1 for other integers (a size, an index).
func fillElements(dtype repository.DType, memory []byte, value func() float32) {
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

// resetInputs restores the initial contents of the inputs.
func (b *Batch) resetInputs() {
	for i := range b.inputs {
		memory := b.inputs[i].block.Bytes()
		for j := range memory {
			memory[j] = 0xFF
		}
	}
}
