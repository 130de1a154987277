package onnx

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
)

// tensor is the memory of one input or output.
type tensor struct {
	info     Info
	rowShape []int64
	rowBytes int
	block    *native.Block // nil for an output whose shape varies between runs
}

// allocate allocates the batch's rows of a tensor.
func (b *Batch) allocate(info Info, rowShape []int64) (tensor, error) {
	t := tensor{info: info, rowShape: rowShape}
	elements, err := count(rowShape)
	if err != nil {
		return t, err
	}
	t.rowBytes = elements * info.DType.Size()
	t.block, err = b.parent.memory(t.rowBytes * b.rows)
	return t, err
}

// memory returns tensor memory for the session's device.
func (s *Session) memory(size int) (*native.Block, error) {
	if s.device.Kind != CUDA || s.options.CUDA.Pageable {
		return native.Alloc(size)
	}
	cuda, err := openCUDA()
	if err != nil {
		return nil, err
	}
	return cuda.AllocPinned(s.device.Index, size)
}

// row returns the memory of one row; its capacity ends there.
func (t *tensor) row(i int) []byte {
	start, end := i*t.rowBytes, (i+1)*t.rowBytes
	return t.block.Bytes()[start:end:end]
}

// value returns a native tensor over the first size rows.
func (t *tensor) value(size int) (ort.Value, error) {
	shape := append([]int64{int64(size)}, t.rowShape...)
	return newValue(t.info.DType, shape, t.block.Bytes()[:size*t.rowBytes])
}

// newValue creates a native tensor over memory outside Go's heap, which must outlive it.
func newValue(dtype repository.DType, shape []int64, memory []byte) (ort.Value, error) {
	value, err := ort.NewCustomDataTensor(shape, memory, elements[dtype])
	if err != nil {
		return nil, err
	}
	liveObjects.Add(1)
	return value, nil
}

// destroy frees tensors of newValue and skips nil ones.
func destroy(values []ort.Value) error {
	var errs []error
	for _, value := range values {
		if value != nil {
			errs = append(errs, value.Destroy())
			liveObjects.Add(-1)
		}
	}
	return errors.Join(errs...)
}

// present reports whether the binding returned a tensor: after an error it may be a nil pointer in the interface.
func present(value ort.Value) bool {
	return value != nil && !reflect.ValueOf(value).IsNil()
}

// adopt returns the data of a tensor that ONNX Runtime allocated and destroys the tensor. It copies nothing: the binding
// returns such a tensor as a copy on Go's heap. (Never float16: the binding counts one byte per element and fails.)
func adopt(value ort.Value) (shape []int64, data []byte, err error) {
	defer func() { err = errors.Join(err, value.Destroy()) }()
	method := reflect.ValueOf(value).MethodByName("GetData") // of ort.Tensor[T], for any T
	if !method.IsValid() {
		return nil, nil, fmt.Errorf("element type %T is not supported", value)
	}
	list := method.Call(nil)[0]
	size := list.Len() * int(list.Type().Elem().Size())
	return value.GetShape(), unsafe.Slice((*byte)(list.UnsafePointer()), size), nil
}

// maxElements bounds a row: no image model needs more, and products of sizes cannot overflow.
const maxElements = math.MaxInt32

// count returns the number of elements of a fixed shape.
func count(shape []int64) (int, error) {
	n := int64(1)
	for _, d := range shape {
		if d <= 0 {
			return 0, fmt.Errorf("row shape %v: every size must be fixed and positive", shape)
		}
		if d > maxElements || n*d > maxElements {
			return 0, fmt.Errorf("row shape %v has more than %d elements", shape, maxElements)
		}
		n *= d
	}
	return int(n), nil
}
