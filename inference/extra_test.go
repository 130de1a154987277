package inference

import (
	"encoding/binary"
	"math"
	"testing"

	"fovea/models"
	"fovea/preprocess/geometry"
)

func TestExtraInputsHoldTheSize(t *testing.T) {
	fit := geometry.Fit{Width: 640, Height: 480, InputW: 320, InputH: 256}
	for value, want := range map[string][2]float64{
		models.OriginalSizeWH: {640, 480}, models.OriginalSizeHW: {480, 640},
		models.InputSizeWH: {320, 256}, models.InputSizeHW: {256, 320},
	} {
		for _, dtype := range []models.DType{models.Int64, models.Int32, models.Float32} {
			x, err := newExtra(1, models.TensorInfo{Name: "size", DType: dtype}, []models.Extra{{Name: "size", Value: value}})
			if err != nil {
				t.Fatal(err)
			}
			row := make([]byte, 2*dtype.Size())
			x.write(row, fit)
			if got := [2]float64{number(dtype, row), number(dtype, row[dtype.Size():])}; got != want {
				t.Errorf("%s as %s is %v, want %v", value, dtype, got, want)
			}
		}
	}
	if _, err := newExtra(1, models.TensorInfo{Name: "mask", DType: models.Int64}, nil); err == nil {
		t.Error("an input that nobody feeds was taken")
	}
	if _, err := newExtra(1, models.TensorInfo{Name: "size", DType: models.Float16}, []models.Extra{{Name: "size"}}); err == nil {
		t.Error("a size in float16 was taken")
	}
}

func number(d models.DType, at []byte) float64 {
	switch d {
	case models.Int64:
		return float64(int64(binary.NativeEndian.Uint64(at)))
	case models.Int32:
		return float64(int32(binary.NativeEndian.Uint32(at)))
	default:
		return float64(math.Float32frombits(binary.NativeEndian.Uint32(at)))
	}
}
