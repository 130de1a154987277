package postprocess

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"fovea/internal/apierror"
	"fovea/internal/float16"
	"fovea/internal/repository"
)

// elements returns the number of elements of a shape; -1 if a dimension is open or the product implausibly large.
func elements(shape []int64) int64 {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt32/d {
			return -1
		}
		n *= d
	}
	return n
}

// check compares a row with what New was given: the dtype must be the same, and the bytes must fill the shape.
func (t *Tensor) check(dtype repository.DType) error {
	n := elements(t.Shape)
	if t.DType != dtype || n < 0 || n*int64(dtype.Size()) != int64(len(t.Data)) {
		return unusable(fmt.Errorf("output %q is %s %v of %d bytes; it was %s when the model was loaded",
			t.Name, t.DType, t.Shape, len(t.Data), dtype))
	}
	return nil
}

// floats returns a row's numbers as float32: the data itself if it is float32, else converted into buffer, which grows as
// needed and is returned for reuse.
func (t *Tensor) floats(buffer []float32) (values, grown []float32) {
	n := len(t.Data) / t.DType.Size()
	if n == 0 {
		return nil, buffer
	}
	if t.DType == repository.Float32 && uintptr(unsafe.Pointer(&t.Data[0]))%4 == 0 {
		return unsafe.Slice((*float32)(unsafe.Pointer(&t.Data[0])), n), buffer
	}
	buffer = slices.Grow(buffer[:0], n)[:n]
	if t.DType == repository.Float16 {
		for i := range buffer {
			buffer[i] = float16.Value(binary.NativeEndian.Uint16(t.Data[2*i:]))
		}
		return buffer, buffer
	}
	for i := range buffer {
		buffer[i] = float32(t.number(i))
	}
	return buffer, buffer
}

// IsFinite reports whether no element is NaN or an infinity.
func (t *Tensor) IsFinite() bool {
	for i := range len(t.Data) / t.DType.Size() {
		if v := t.number(i); v-v != 0 {
			return false
		}
	}
	return true
}

// number reads element i. Whole numbers beyond 2⁵³ are rounded.
func (t *Tensor) number(i int) float64 {
	switch t.DType {
	case repository.Float32:
		return float64(math.Float32frombits(binary.NativeEndian.Uint32(t.Data[4*i:])))
	case repository.Float16:
		return float64(float16.Value(binary.NativeEndian.Uint16(t.Data[2*i:])))
	case repository.Float64:
		return math.Float64frombits(binary.NativeEndian.Uint64(t.Data[8*i:]))
	case repository.Uint64:
		return float64(binary.NativeEndian.Uint64(t.Data[8*i:]))
	}
	return float64(t.whole(i))
}

// whole reads element i of an integer type.
func (t *Tensor) whole(i int) int64 {
	switch t.DType {
	case repository.Int64, repository.Uint64:
		return int64(binary.NativeEndian.Uint64(t.Data[8*i:]))
	case repository.Int32:
		return int64(int32(binary.NativeEndian.Uint32(t.Data[4*i:])))
	case repository.Uint32:
		return int64(binary.NativeEndian.Uint32(t.Data[4*i:]))
	case repository.Int16:
		return int64(int16(binary.NativeEndian.Uint16(t.Data[2*i:])))
	case repository.Uint16:
		return int64(binary.NativeEndian.Uint16(t.Data[2*i:]))
	case repository.Int8:
		return int64(int8(t.Data[i]))
	}
	return int64(t.Data[i])
}

// integer reads element i as an integer; ok is false if it is not one.
func (t *Tensor) integer(i int) (n int64, ok bool) {
	if !slices.Contains(floatTypes, t.DType) {
		n = t.whole(i)
		return n, t.DType != repository.Uint64 || n >= 0
	}
	return integerOf(t.number(i))
}

// integerOf returns a float as an integer; ok is false if it is not one.
func integerOf(f float64) (n int64, ok bool) {
	if f != math.Trunc(f) || math.Abs(f) > 1<<24 { // NaN is unequal to itself
		return 0, false
	}
	return int64(f), true
}

// unusable returns the error of outputs that no prediction can be decoded from.
func unusable(cause error) error {
	return apierror.Wrap(apierror.Internal, cause, "the model's outputs are unusable")
}

func notFinite(name string) error {
	return unusable(fmt.Errorf("output %q holds a value that is not finite", name))
}
