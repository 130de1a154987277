package onnx

import (
	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

// tensor is one input or output: its memory and what a row of it is.
type tensor struct {
	info     Info
	rowShape []int64
	rowBytes int
	block    *native.Block // nil for an output whose shape changes from run to run
}

// allocate makes memory for rows rows of a tensor.
func (b *Batch) allocate(info Info, rowShape []int64, rows int) (tensor, error) {
	t := tensor{info: info, rowShape: rowShape}
	elements, err := count(rowShape)
	if err != nil {
		return t, err
	}
	t.rowBytes = elements * info.DType.Size()
	t.block, err = b.parent.memory(t.rowBytes * rows)
	return t, err
}

// memory returns tensor memory for the session's device.
func (s *Session) memory(size int) (*native.Block, error) {
	if s.device.Kind != CUDA || s.pageable {
		return native.Alloc(size)
	}
	cuda, err := openCUDA()
	if err != nil {
		return nil, err
	}
	return cuda.AllocPinned(s.device.Index, size)
}

// row is the memory of one row; appending to it can never reach the next.
func (t *tensor) row(i int) []byte {
	start, end := i*t.rowBytes, (i+1)*t.rowBytes
	return t.block.Bytes()[start:end:end]
}

// value is a native tensor over the first size rows.
func (t *tensor) value(size int) (ort.Value, error) {
	shape := append([]int64{int64(size)}, t.rowShape...)
	return newValue(t.info.DType, shape, t.block.Bytes()[:size*t.rowBytes])
}
