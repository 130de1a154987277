package inference

import (
	"encoding/binary"
	"fmt"
	"image"
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// extra is an input in addition to the image: two elements per row, a size or the factors of scaling, or a mask of the pixels that
// the image fills.
type extra struct {
	input int
	value string
	dtype repository.DType
	mask  []int64 // height and width of the mask, -1 where it is as large as the image input; nil: none
}

// newExtra finds the input in the definition's input.extra.
func newExtra(input int, info repository.TensorInfo, defined []repository.Extra) (extra, error) {
	i := slices.IndexFunc(defined, func(x repository.Extra) bool { return x.Name == info.Name })
	if i < 0 {
		return extra{}, fmt.Errorf("input %q of the ONNX file is not described by input.extra", info.Name)
	}
	if !slices.Contains([]repository.DType{repository.Int64, repository.Int32, repository.Float32}, info.DType) {
		return extra{}, fmt.Errorf("input %q is %s; a size must be int64, int32 or float32", info.Name, info.DType)
	}
	x := extra{input: input, value: defined[i].Value, dtype: info.DType}
	if x.value == repository.PixelMask {
		x.mask = info.Shape[len(info.Shape)-2:]
	}
	return x, nil
}

// isOpen reports whether the shape depends on the size of the image input.
func (x extra) isOpen() bool { return slices.Contains(x.mask, -1) }

// shape is that of a row, where the image input has size pixels.
func (x extra) shape(size image.Point) []int64 {
	if x.mask == nil {
		return []int64{2}
	}
	shape := slices.Clone(x.mask)
	for i, side := range [...]int{size.Y, size.X} {
		if shape[i] < 0 {
			shape[i] = int64(side)
		}
	}
	return shape
}

// numbers are the two elements for an image.
func (x extra) numbers(t geometry.Transform) (first, second float64) {
	w, h := float64(t.InputW), float64(t.InputH)
	switch x.value {
	case repository.OriginalSizeWH, repository.OriginalSizeHW:
		w, h = float64(t.Width), float64(t.Height)
	case repository.ScaleFactorWH, repository.ScaleFactorHW:
		w, h = t.ScaleX, t.ScaleY
	}
	if slices.Contains([]string{repository.OriginalSizeHW, repository.InputSizeHW, repository.ScaleFactorHW}, x.value) {
		return h, w
	}
	return w, h
}

// write writes the elements of a row.
func (x extra) write(row []byte, transform geometry.Transform) {
	if x.mask != nil {
		x.writeMask(row, transform)
		return
	}
	first, second := x.numbers(transform)
	x.put(row, 0, first)
	x.put(row, 1, second)
}

// writeMask writes 1 where the image lies and 0 where the input is padded.
func (x extra) writeMask(row []byte, t geometry.Transform) {
	shape := x.shape(image.Pt(t.InputW, t.InputH))
	columns := covered(shape[1], t.InputW, t.OffsetX, t.ScaleX*float64(t.Width))
	for i, inLine := range covered(shape[0], t.InputH, t.OffsetY, t.ScaleY*float64(t.Height)) {
		for j, inColumn := range columns {
			v := 0.0
			if inLine && inColumn {
				v = 1
			}
			x.put(row, i*len(columns)+j, v)
		}
	}
}

// covered reports which of n elements along a side of the input have their center in the span from offset on.
func covered(n int64, side int, offset, length float64) []bool {
	list := make([]bool, n)
	for i := range list {
		at := (float64(i) + 0.5) * float64(side) / float64(n)
		list[i] = at >= offset && at < offset+length
	}
	return list
}

// put writes element i of a row.
func (x extra) put(row []byte, i int, n float64) {
	at := row[i*x.dtype.Size():]
	switch x.dtype {
	case repository.Int64:
		binary.NativeEndian.PutUint64(at, uint64(n))
	case repository.Int32:
		binary.NativeEndian.PutUint32(at, uint32(n))
	default: // Float32: newExtra accepts no other
		binary.NativeEndian.PutUint32(at, math.Float32bits(float32(n)))
	}
}
