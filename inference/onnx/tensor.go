package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
)

// tensor is the memory of one input or output.
type tensor struct {
	info      Info
	rowShape  []int64
	rowBytes  int
	unbatched bool          // the shape has no batch dimension: the row is the whole tensor
	block     *native.Block // at least the rows; nil for an output whose shape varies between runs
}

// allocate allocates the batch's rows of a tensor. An input of as many dimensions as in the file has no batch dimension.
func (b *Batch) allocate(info Info, rowShape []int64) (tensor, error) {
	t := tensor{info: info, rowShape: rowShape, unbatched: len(rowShape) == len(info.Shape)}
	elements, err := count(rowShape)
	if err != nil {
		return t, err
	}
	t.rowBytes = elements * info.DType.Size()
	t.block, err = b.parent.memory(t.rowBytes * b.rows)
	return t, err
}

// keptBytes is the size of the memory of an input of open size that is kept although less is needed.
const keptBytes = 16 << 20

// reshape gives a tensor of one row another shape, in the same memory if it is large enough and not much too large.
func (b *Batch) reshape(t *tensor, shape []int64) error {
	elements, err := count(shape)
	if err != nil {
		return err
	}
	if err := agrees(t.info, shape); err != nil {
		return err
	}
	t.rowShape, t.rowBytes = slices.Clone(shape), elements*t.info.DType.Size()
	if have := len(t.block.Bytes()); have >= t.rowBytes && (have <= keptBytes || have/4 <= t.rowBytes) {
		return nil
	}
	t.block, err = b.parent.memory(t.rowBytes)
	return err
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
func (t *tensor) value(size int) (value, error) {
	shape := t.rowShape
	if !t.unbatched {
		shape = append([]int64{int64(size)}, shape...)
	}
	return newValue(t.info.DType, shape, t.block.Bytes()[:size*t.rowBytes])
}

// value is a native tensor and its *OrtValue; both nil for an output that ONNX Runtime allocates.
type value struct {
	tensor ort.Value
	handle unsafe.Pointer
}

// newValue creates a native tensor over memory outside Go's heap, which must outlive it.
func newValue(dtype repository.DType, shape []int64, memory []byte) (value, error) {
	tensor, err := ort.NewCustomDataTensor(shape, memory, elements[dtype])
	if err != nil {
		return value{}, err
	}
	liveObjects.Add(1)
	v := value{tensor: tensor}
	if v.handle, err = handleOf(tensor.GetInternals(), "ortValue"); err != nil {
		return value{}, errors.Join(err, v.destroy())
	}
	return v, nil
}

// destroy frees the tensor, if there is one.
func (v value) destroy() error {
	if v.tensor == nil {
		return nil
	}
	liveObjects.Add(-1)
	return v.tensor.Destroy()
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
