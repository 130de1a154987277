package preprocess

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
)

func TestNewPlanReportsEveryErrorOfTheInput(t *testing.T) {
	_, err := NewPlan(repository.Input{
		Width: -1, Height: 4, Resize: "squash", Place: "left", Fill: []float64{300}, Interpolation: "magic", Color: "hsv",
		Scale: math.NaN(), Mean: []float64{1, 2}, Std: []float64{0}, Layout: "chw", DType: repository.Int64,
	})
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, key := range []string{"width", "resize", "place", "fill", "interpolation", "color", "scale", "mean", "std", "layout", "dtype"} {
		if !strings.Contains(err.Error(), "input."+key) {
			t.Errorf("input.%s is not named in:\n%v", key, err)
		}
	}
}

// TestCropsArePadded: what is resized to less than the input lies in its center.
func TestCropsArePadded(t *testing.T) {
	white, gray := []byte{255, 255, 255}, []byte{114, 114, 114}
	edge, stretch, cover := bytesInput(5, 4), bytesInput(5, 4), bytesInput(5, 4)
	edge.Resize, edge.ShortestEdge = repository.ShortestEdge, 2
	stretch.ResizeWidth, stretch.ResizeHeight = 2, 2
	cover.Resize, cover.ResizeWidth, cover.ResizeHeight = repository.Cover, 2, 2
	for what, in := range map[string]repository.Input{"an edge": edge, "a stretch": stretch, "a cover": cover} {
		for _, offset := range []string{"", repository.CropRound, repository.CropTruncate, repository.CropFloor} {
			in.Fill, in.CropOffset = []float64{114}, offset
			var want []byte
			for y := range 4 {
				for x := range 5 {
					left := 1 // of 3 columns of padding
					if offset == repository.CropFloor {
						left = 2
					}
					pixel := gray
					if y >= 1 && y < 3 && x >= left && x < left+2 {
						pixel = white
					}
					want = append(want, pixel...)
				}
			}
			if got := prepared(t, mustPlan(t, in), plainPNG(t, 6, 6, color.RGBA{255, 255, 255, 255})); !bytes.Equal(got, want) {
				t.Errorf("%s, crop_offset %q: %v, want %v", what, offset, got, want)
			}
		}
	}
}

func TestEveryInterpolationResizes(t *testing.T) {
	data := read(t, "testdata", "coffee.jpg")
	in := bytesInput(64, 64)
	linear := prepared(t, mustPlan(t, in), data)
	for name, most := range map[string]float64{repository.PillowNearest: 20, repository.AreaLinear: 0.01, repository.AreaCubic: 3, repository.AreaLanczos: 3} {
		in.Interpolation = name
		row := prepared(t, mustPlan(t, in), data)
		if mean, _ := difference(row, linear); mean > most {
			t.Errorf("%s differs from linear by %.2f in the mean", name, mean)
		}
	}
}

func TestImagesOfOddSizesFillTheRow(t *testing.T) {
	red := color.RGBA{255, 0, 0, 255}
	for _, size := range []image.Point{{1, 1}, {1, 700}, {700, 1}, {5000, 20}, {20, 5000}, {33, 31}} {
		data := plainPNG(t, size.X, size.Y, red)
		for mode, in := range modes() {
			if in.Resize == repository.Letterbox {
				in.Fill = []float64{255, 0, 0}
			}
			for _, interpolation := range []string{repository.PillowNearest, repository.AreaLinear, repository.AreaCubic, repository.AreaLanczos} {
				in.Interpolation = interpolation
				row := prepared(t, mustPlan(t, in), data)
				if !bytes.Equal(row, bytes.Repeat([]byte{255, 0, 0}, 32*32)) {
					t.Errorf("%v, %s, %s: the row is not red all over", size, mode, interpolation)
				}
			}
		}
	}
}

func TestOpenCVStartsNoThreads(t *testing.T) {
	mustPlan(t, bytesInput(8, 8))
	if n := gocv.GetNumThreads(); n != 1 {
		t.Errorf("OpenCV may use %d threads", n)
	}
}
