package inference

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// extra is an input in addition to the image, of two elements per row: a size, or the factors of scaling.
type extra struct {
	input int
	value string
	dtype repository.DType
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
	return extra{input, defined[i].Value, info.DType}, nil
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

// write writes the two elements to a row.
func (x extra) write(row []byte, transform geometry.Transform) {
	first, second := x.numbers(transform)
	for i, n := range [...]float64{first, second} {
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
}
