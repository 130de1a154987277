package inference

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// extra is an input beside the image: two elements a row that hold a size.
type extra struct {
	input int
	value string
	dtype repository.DType
}

// newExtra finds what the definition says of the input.
func newExtra(input int, info repository.TensorInfo, defined []repository.Extra) (extra, error) {
	i := slices.IndexFunc(defined, func(x repository.Extra) bool { return x.Name == info.Name })
	if i < 0 {
		return extra{}, fmt.Errorf("the ONNX file has an input %q that input.extra does not describe", info.Name)
	}
	switch info.DType {
	case repository.Int64, repository.Int32, repository.Float32:
	default:
		return extra{}, fmt.Errorf("input %q is %s; a size can be int64, int32 or float32", info.Name, info.DType)
	}
	return extra{input, defined[i].Value, info.DType}, nil
}

// write puts the two elements into a row.
func (x extra) write(row []byte, fit geometry.Transform) {
	var w, h int
	switch x.value {
	case repository.OriginalSizeWH, repository.OriginalSizeHW:
		w, h = fit.Width, fit.Height
	default:
		w, h = fit.InputW, fit.InputH
	}
	if x.value == repository.OriginalSizeHW || x.value == repository.InputSizeHW {
		w, h = h, w
	}
	size := x.dtype.Size()
	x.element(row, w)
	x.element(row[size:], h)
}

func (x extra) element(at []byte, n int) {
	switch x.dtype {
	case repository.Int64:
		binary.NativeEndian.PutUint64(at, uint64(n))
	case repository.Int32:
		binary.NativeEndian.PutUint32(at, uint32(n))
	case repository.Float32:
		binary.NativeEndian.PutUint32(at, math.Float32bits(float32(n)))
	default: // newExtra takes no other
	}
}
