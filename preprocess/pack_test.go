package preprocess

import (
	"bytes"
	"image/color"
	"math"
	"testing"
	"unsafe"

	"fovea/internal/float16"
	"fovea/internal/repository"
)

// floatsOf views a row as float32, whatever its dtype.
func floatsOf(row []byte, d repository.DType) []float64 {
	var out []float64
	switch d {
	case repository.Float32:
		for _, v := range unsafe.Slice((*float32)(unsafe.Pointer(&row[0])), len(row)/4) {
			out = append(out, float64(v))
		}
	case repository.Float16:
		for _, v := range unsafe.Slice((*uint16)(unsafe.Pointer(&row[0])), len(row)/2) {
			out = append(out, float64(float16.Value(v)))
		}
	case repository.Uint8:
		for _, v := range row {
			out = append(out, float64(v))
		}
	}
	return out
}

func TestEveryElementOfARowIsWritten(t *testing.T) {
	data := plainPNG(t, 40, 20, color.RGBA{200, 100, 50, 255})
	// What the image's colors and the fill become: (v·0.5 − mean) / std.
	fill := []float64{10, 20, 30}
	for _, layout := range []string{"nchw", "nhwc"} {
		for _, dtype := range []repository.DType{repository.Float32, repository.Float16, repository.Uint8} {
			scale, mean, std := 0.5, []float64{1, 2, 3}, []float64{2, 4, 8}
			if dtype == repository.Uint8 { // takes values as they are
				scale, mean, std = 1, []float64{0}, []float64{1}
			}
			for order, pixel := range map[string][]float64{"rgb": {200, 100, 50}, "bgr": {50, 100, 200}} {
				for _, place := range []string{"center", "top_left"} {
					in := repository.Input{Width: 16, Height: 13, Resize: repository.Letterbox, Place: place, Layout: layout, DType: dtype,
						Color: order, Scale: scale, Mean: mean, Std: std, Fill: fill}
					got := floatsOf(prepared(t, mustPlan(t, in), data), dtype)
					top := map[string]int{"center": 2, "top_left": 0}[place] // 16×8 in 16×13
					for i, v := range got {
						c, y := i/(16*13), i/16%13
						if layout == "nhwc" {
							c, y = i%3, i/3/16
						}
						want := fill[c]
						if y >= top && y < top+8 {
							want = pixel[c]
						}
						want = (want*scale - mean[c%len(mean)]) / std[c%len(std)]
						if math.Abs(v-want) > math.Abs(want)/1024 {
							t.Fatalf("%s %s %s %s: element %d is %v, want %v", layout, dtype, order, place, i, v, want)
						}
					}
				}
			}
		}
	}
}

func TestRowsOfTheWrongSizeOrAlignmentAreRefused(t *testing.T) {
	plan := mustPlan(t, repository.Input{Width: 8, Height: 4, DType: repository.Float32})
	data := plainPNG(t, 8, 4, color.RGBA{1, 2, 3, 255})
	img, err := plan.Decode(t.Context(), data, mustInfo(t, data))
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if plan.RowBytes() != 8*4*3*4 {
		t.Fatalf("a row has %d bytes", plan.RowBytes())
	}
	room := unsafe.Slice((*byte)(unsafe.Pointer(&make([]uint64, 64)[0])), 512)
	for what, row := range map[string][]byte{"short": room[:380], "long": room[:388], "not aligned": room[2:386], "none": nil} {
		if _, err := plan.Pack(img, row); err == nil {
			t.Errorf("a row that is %s was packed", what)
		}
	}
	if _, err := plan.Pack(img, room[:384]); err != nil {
		t.Error(err)
	}
}

// TestPackPixels packs pixels as they are, and a PNG of them.
func TestPackPixels(t *testing.T) {
	const w, h = 24, 10
	data := encodedPNG(t, w, h)
	rgb := prepared(t, mustPlan(t, bytesInput(w, h)), data)
	pixels := make([]byte, len(rgb))
	for i := range w * h {
		pixels[3*i], pixels[3*i+1], pixels[3*i+2] = rgb[3*i+2], rgb[3*i+1], rgb[3*i]
	}
	for _, color := range []string{"rgb", "bgr", "gray"} {
		for _, layout := range []string{"nchw", "nhwc"} {
			plan := mustPlan(t, repository.Input{Width: w, Height: h, DType: repository.Float32, Color: color, Layout: layout, Mean: []float64{9}})
			row := poisoned(plan.RowBytes())
			plan.PackPixels(pixels, w, row)
			if !bytes.Equal(row, prepared(t, plan, data)) {
				t.Errorf("%s %s: the rows differ", color, layout)
			}
		}
	}
}
