package inference

import (
	"encoding/binary"
	"math"
	"strings"
	"sync"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

func TestExtraInputsHoldTheSize(t *testing.T) {
	transform := geometry.Transform{Width: 640, Height: 480, InputW: 320, InputH: 256}
	for value, want := range map[string][2]float64{
		repository.OriginalSizeWH: {640, 480}, repository.OriginalSizeHW: {480, 640},
		repository.InputSizeWH: {320, 256}, repository.InputSizeHW: {256, 320},
	} {
		for _, dtype := range []repository.DType{repository.Int64, repository.Int32, repository.Float32} {
			x, err := newExtra(1, repository.TensorInfo{Name: "size", DType: dtype}, []repository.Extra{{Name: "size", Value: value}})
			if err != nil {
				t.Fatal(err)
			}
			row := make([]byte, 2*dtype.Size())
			x.write(row, transform)
			if got := [2]float64{number(dtype, row), number(dtype, row[dtype.Size():])}; got != want {
				t.Errorf("%s as %s is %v, want %v", value, dtype, got, want)
			}
		}
	}
	if _, err := newExtra(1, repository.TensorInfo{Name: "mask", DType: repository.Int64}, nil); err == nil {
		t.Error("an input that the definition does not describe was accepted")
	}
	if _, err := newExtra(1, repository.TensorInfo{Name: "size", DType: repository.Float16}, []repository.Extra{{Name: "size"}}); err == nil {
		t.Error("a size in float16 was accepted")
	}
}

// TestEachImageOfABatchHasItsOwnExtraInput fills batches with images that differ in nothing but their shape, by
// which alone the model calls them blue or red.
func TestEachImageOfABatchHasItsOwnExtraInput(t *testing.T) {
	for name, file := range map[string]string{"two sizes": "colors-size", "any number of sizes": "colors-size-open"} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t).define("size", "batching: {max_size: 4, max_delay: 10s}\n"+strings.Replace(colors, "scale:",
				"name: image, extra: [{name: size, value: original_size_wh}], scale:", 1)).add("size", 1, file)
			e := r.synced(func(c *Config) { c.Instances = 1 })
			var wg sync.WaitGroup
			for i := range 8 {
				shape, want := [2]int{20, 30}, "red"
				if i%2 == 1 {
					shape, want = [2]int{31, 30}, "blue"
				}
				wg.Go(func() {
					got, err := e.Predict(t.Context(), Request{Image: plain(t, red, shape[0], shape[1])})
					if first(got) != want {
						t.Errorf("%v is %q, %v; want %q", shape, first(got), err, want)
					}
				})
			}
			wg.Wait()
		})
	}
}

func number(d repository.DType, at []byte) float64 {
	switch d {
	case repository.Int64:
		return float64(int64(binary.NativeEndian.Uint64(at)))
	case repository.Int32:
		return float64(int32(binary.NativeEndian.Uint32(at)))
	default:
		return float64(math.Float32frombits(binary.NativeEndian.Uint32(at)))
	}
}
