package inference

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// extra is a second input that holds a size: two elements per row.
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

// write writes the two elements to a row.
func (x extra) write(row []byte, transform geometry.Transform) {
	w, h := transform.InputW, transform.InputH
	if x.value == repository.OriginalSizeWH || x.value == repository.OriginalSizeHW {
		w, h = transform.Width, transform.Height
	}
	if x.value == repository.OriginalSizeHW || x.value == repository.InputSizeHW {
		w, h = h, w
	}
	for i, n := range [...]int{w, h} {
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
