package onnx

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/repository"
)

// newValue is a native tensor over memory that is outside Go's heap and outlives it.
func newValue(dtype repository.DType, shape []int64, memory []byte) (ort.Value, error) {
	value, err := ort.NewCustomDataTensor(shape, memory, elements[dtype])
	if err != nil {
		return nil, err
	}
	liveValues.Add(1)
	return value, nil
}

// destroy frees tensors of newValue; nil ones are left out.
func destroy(values []ort.Value) error {
	var errs []error
	for _, value := range values {
		if value != nil {
			errs = append(errs, value.Destroy())
			liveValues.Add(-1)
		}
	}
	return errors.Join(errs...)
}

// present says whether the wrapper put a tensor there: after an error it may be a nil pointer in the interface.
func present(value ort.Value) bool {
	return value != nil && !reflect.ValueOf(value).IsNil()
}

// take copies nothing: a tensor that ONNX Runtime allocated arrives from the wrapper as a copy on Go's heap,
// which outlives the tensor that take destroys. (Float16 never does: the wrapper counts a byte an element and fails.)
func take(value ort.Value) (shape []int64, data []byte, err error) {
	defer func() { err = errors.Join(err, value.Destroy()) }()
	shape = value.GetShape()
	switch t := value.(type) {
	case *ort.Tensor[float32]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[float64]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[int64]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[uint64]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[int32]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[uint32]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[int16]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[uint16]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[int8]:
		data = rawBytes(t.GetData())
	case *ort.Tensor[uint8]:
		data = t.GetData()
	default:
		err = fmt.Errorf("element type %T cannot be taken over", value)
	}
	return shape, data, err
}

func rawBytes[T float32 | float64 | int8 | int16 | int32 | int64 | uint16 | uint32 | uint64](data []T) []byte {
	if len(data) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(data[0])))
}

// maxElements bounds a row to what no image model needs and no multiplication overflows.
const maxElements = math.MaxInt32

// count is the number of elements of a shape whose sizes are all known.
func count(shape []int64) (int, error) {
	n := int64(1)
	for _, d := range shape {
		if d <= 0 {
			return 0, fmt.Errorf("row shape %v: every size must be known and above 0", shape)
		}
		if d > maxElements || n*d > maxElements {
			return 0, fmt.Errorf("row shape %v has more than %d elements", shape, maxElements)
		}
		n *= d
	}
	return int(n), nil
}
