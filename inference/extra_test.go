package inference

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
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

// TestPixelMaskIsOneWhereTheImageIs has masks of the input's size, whether the file fixes it or not, and of another size.
func TestPixelMaskIsOneWhereTheImageIs(t *testing.T) {
	padded := geometry.Transform{Width: 60, Height: 30, InputW: 6, InputH: 4, ScaleX: 0.1, ScaleY: 0.1, OffsetY: 1}
	whole := geometry.Transform{Width: 60, Height: 40, InputW: 6, InputH: 4, ScaleX: 0.1, ScaleY: 0.1}
	for what, c := range map[string]struct {
		shape     []int64
		transform geometry.Transform
		want      string
	}{
		"a padded image, open":         {[]int64{-1, -1, -1}, padded, "000000 111111 111111 111111"},
		"a padded image, fixed":        {[]int64{1, 4, 6}, padded, "000000 111111 111111 111111"},
		"an image that fills it":       {[]int64{-1, 4, 6}, whole, "111111 111111 111111 111111"},
		"a smaller mask":               {[]int64{-1, 2, 3}, padded, "111 111"},
		"a larger mask":                {[]int64{-1, 8, 2}, padded, "00 00 11 11 11 11 11 11"},
		"an image at the left and top": {[]int64{-1, -1, 3}, geometry.Transform{Width: 3, Height: 3, InputW: 6, InputH: 4, ScaleX: 1, ScaleY: 1}, "100 100 100 000"},
	} {
		for _, dtype := range []repository.DType{repository.Int64, repository.Int32, repository.Float32} {
			x, err := newExtra(1, repository.TensorInfo{Name: "m", DType: dtype, Shape: c.shape}, []repository.Extra{{Name: "m", Value: repository.PixelMask}})
			if err != nil {
				t.Fatal(err)
			}
			shape := x.shape(image.Pt(c.transform.InputW, c.transform.InputH))
			row := bytes.Repeat([]byte{0xA5}, int(shape[0]*shape[1])*dtype.Size())
			x.write(row, c.transform)
			var got strings.Builder
			for i := range shape[0] * shape[1] {
				if i > 0 && i%shape[1] == 0 {
					got.WriteByte(' ')
				}
				fmt.Fprint(&got, number(dtype, row[int(i)*dtype.Size():]))
			}
			if got.String() != c.want {
				t.Errorf("%s as %s: %s, want %s", what, dtype, &got, c.want)
			}
		}
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
