package preprocess

import (
	"bytes"
	"image/color"
	"math"
	"slices"
	"testing"

	"fovea/internal/repository"
)

func grayInput(width, height int) repository.Input {
	return repository.Input{Width: width, Height: height, DType: repository.Uint8, Layout: "nchw", Color: repository.ColorGray}
}

func TestGrayMatchesPillow(t *testing.T) {
	got := prepared(t, mustPlan(t, grayInput(64, 48)), read(t, "testdata", "gray", "colors.png"))
	want := read(t, "testdata", "gray", "colors.l")
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("pixel %d is %d; Pillow's is %d", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d pixels, want %d", len(got), len(want))
	}
}

func TestGrayAfterResizingIsWithinTheTolerance(t *testing.T) {
	got := prepared(t, mustPlan(t, grayInput(32, 32)), read(t, "testdata", "images", "png_rgb.png"))
	mean, worst := difference(got, read(t, "testdata", "gray", "scene.l"))
	if mean > meanTolerance || worst > worstTolerance {
		t.Errorf("differs from Pillow by %.2f in the mean and %d at worst", mean, worst)
	}
}

func TestAGrayPixelKeepsItsValue(t *testing.T) {
	for v := range 256 {
		if got := luma(byte(v), byte(v), byte(v)); int(got) != v {
			t.Errorf("%d becomes %d", v, got)
		}
	}
}

// TestGrayIsTheLumaOfTheColors compares every resize mode and dtype of a gray input with the same input in color.
func TestGrayIsTheLumaOfTheColors(t *testing.T) {
	data := read(t, "testdata", "images", "jpeg_exif6.jpg")
	for mode, in := range modes() {
		colors := prepared(t, mustPlan(t, in), data)
		for _, layout := range []string{"nchw", "nhwc"} {
			for _, dtype := range []repository.DType{repository.Float32, repository.Float16, repository.Uint8} {
				one := in
				one.Color, one.Layout, one.DType = repository.ColorGray, layout, dtype
				scale, mean, std := 0.5, 3.0, 2.0
				if dtype == repository.Uint8 { // takes values as they are
					scale, mean, std = 1, 0, 1
				}
				one.Scale, one.Mean, one.Std = scale, []float64{mean}, []float64{std}
				if len(in.Fill) > 0 {
					one.Fill = in.Fill[:1]
				}
				plan := mustPlan(t, one)
				if plan.RowBytes() != 32*32*dtype.Size() {
					t.Fatalf("%s: a row has %d bytes", dtype, plan.RowBytes())
				}
				for i, v := range floatsOf(prepared(t, plan, data), dtype) {
					rgb := colors[3*i : 3*i+3]
					want := (float64(luma(rgb[2], rgb[1], rgb[0]))*scale - mean) / std
					if dtype == repository.Uint8 {
						want = math.RoundToEven(max(0, want))
					}
					if math.Abs(v-want) > math.Abs(want)/1024 {
						t.Fatalf("%s %s %s: pixel %d is %v, want %v", mode, layout, dtype, i, v, want)
					}
				}
			}
		}
	}
}

func TestGrayFill(t *testing.T) {
	in := grayInput(8, 8)
	in.Resize, in.Fill = repository.Letterbox, []float64{114}
	got := prepared(t, mustPlan(t, in), plainPNG(t, 16, 8, color.RGBA{255, 255, 255, 255}))
	want := slices.Concat(bytes.Repeat([]byte{114}, 16), bytes.Repeat([]byte{255}, 32), bytes.Repeat([]byte{114}, 16))
	if !bytes.Equal(got, want) {
		t.Errorf("%v", got)
	}
	in.Fill = []float64{1, 2, 3}
	if _, err := NewPlan(in); err == nil {
		t.Error("three fills were accepted for one channel")
	}
}
