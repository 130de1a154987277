package onnx

import (
	"fmt"
	"slices"
)

// buckets returns the batch sizes of spec in ascending order, or the one that the file fixes.
func (s *Session) buckets(spec BatchSpec) ([]int, error) {
	sizes := slices.Clone(spec.Buckets)
	if len(sizes) == 0 {
		sizes = []int{spec.Rows}
	}
	fixed, err := s.fixedBatch(spec.RowShapes)
	if err != nil {
		return nil, err
	}
	if fixed > 0 {
		sizes = []int{fixed}
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	if sizes[0] < 1 {
		return nil, fmt.Errorf("batch size %d: must be at least 1", sizes[0])
	}
	if last := sizes[len(sizes)-1]; fixed == 0 && spec.Rows != 0 && spec.Rows != last {
		return nil, fmt.Errorf("the largest of the batch sizes %v must be the number of rows, %d", sizes, spec.Rows)
	}
	return sizes, nil
}

// FixedBatch returns the batch size that the file fixes, 0 if any size is accepted; rowShapes are those of the batch.
func (s *Session) FixedBatch(rowShapes [][]int64) int {
	n, _ := s.fixedBatch(rowShapes) // NewBatch reports the error
	return n
}

func (s *Session) fixedBatch(rowShapes [][]int64) (int, error) {
	fixed := int64(-1)
	for i, info := range s.inputs {
		if len(info.Shape) == 0 {
			return 0, fmt.Errorf("input %q has no batch dimension", info.Name)
		}
		n := info.Shape[0]
		if i < len(rowShapes) && len(rowShapes[i]) == len(info.Shape) {
			n = 1 // it has no batch dimension
		}
		if n < 0 {
			continue
		}
		if fixed >= 0 && n != fixed {
			return 0, fmt.Errorf("inputs differ in batch size: %q has %d, another %d", info.Name, n, fixed)
		}
		fixed = n
	}
	if fixed == 0 || fixed > maxElements {
		return 0, fmt.Errorf("the file fixes a batch size of %d", fixed)
	}
	return int(max(fixed, 0)), nil
}

// rowShapes returns the row shape of every input: the one given, which must agree with the file, or the file's.
func (s *Session) rowShapes(given [][]int64) ([][]int64, error) {
	if given != nil && len(given) != len(s.inputs) {
		return nil, fmt.Errorf("%d row shapes for %d inputs", len(given), len(s.inputs))
	}
	shapes := make([][]int64, len(s.inputs))
	for i, info := range s.inputs {
		shape := info.Shape[1:]
		if given != nil && given[i] != nil {
			shape = given[i]
		}
		if err := agrees(info, shape); err != nil {
			return nil, fmt.Errorf("input %q: %w", info.Name, err)
		}
		if slices.Min(append([]int64{1}, shape...)) < 1 {
			return nil, fmt.Errorf("input %q: a row shape is required, since the file leaves it open (%v)", info.Name, shape)
		}
		shapes[i] = slices.Clone(shape)
	}
	return shapes, nil
}

// agrees returns an error if the shape of a row, or of the whole tensor, is not one that the file allows.
func agrees(info Info, shape []int64) error {
	declared := info.Shape[1:]
	if len(shape) == len(info.Shape) {
		declared = info.Shape
	}
	if !slices.EqualFunc(shape, declared, func(n, fixed int64) bool { return fixed < 0 || n == fixed }) {
		return fmt.Errorf("row shape %v was requested, but the file has %v", shape, declared)
	}
	return nil
}

// unbatched reports whether a row shape has all dimensions of its input: the file has no batch dimension.
func (s *Session) unbatched(shapes [][]int64) bool {
	for i, info := range s.inputs {
		if len(shapes[i]) == len(info.Shape) {
			return true
		}
	}
	return false
}
