package geometry

import (
	"testing"

	"fovea/internal/repository"
)

func TestCropFirstTakesTheCenterOfTheInputsAspectRatio(t *testing.T) {
	for _, c := range []struct {
		what          string
		width, height int // of the input
		image         Image
		want          Box
	}{
		{"a wide image", 10, 10, Image{Width: 97, Height: 64, Shrink: 1}, Box{16, 0, 80, 64}},
		{"a high image", 10, 10, Image{Width: 64, Height: 97, Shrink: 1}, Box{0, 16, 64, 80}},
		{"a wide input", 20, 10, Image{Width: 64, Height: 64, Shrink: 1}, Box{0, 16, 64, 48}},
		{"the input's aspect ratio", 20, 10, Image{Width: 40, Height: 20, Shrink: 1}, Box{0, 0, 40, 20}},
		{"an image stored from right to left", 10, 10, Image{Width: 97, Height: 64, Shrink: 1, FlippedX: true}, Box{17, 0, 81, 64}},
		{"an image stored from bottom to top", 10, 10, Image{Width: 64, Height: 97, Shrink: 1, FlippedY: true}, Box{0, 17, 64, 81}},
		{"an image that is decoded at half its size", 10, 10, Image{Width: 97, Height: 64, Shrink: 2}, Box{8, 0, 40, 32}},
		{"a strip", 10, 1000, Image{Width: 5, Height: 3, Shrink: 1}, Box{2, 0, 3, 3}},
	} {
		in := repository.Input{Width: c.width, Height: c.height, Resize: repository.CropFirst}
		r := Resample(&in, c.image)
		if r.Source != c.want || r.Size.X != c.width || r.Size.Y != c.height {
			t.Errorf("%s: %+v of size %v, want %+v", c.what, r.Source, r.Size, c.want)
		}
		if x, y := r.Transform.ToImage(float64(c.width)/2, float64(c.height)/2); x < float64(c.image.Width-1)/2 || x > float64(c.image.Width+1)/2 ||
			y < float64(c.image.Height-1)/2 || y > float64(c.image.Height+1)/2 {
			t.Errorf("%s: the center maps to %v, %v", c.what, x, y)
		}
	}
}

// TestCropFirstMayTakeLess has numbers of PerceiverImageProcessor.center_crop: int(224 / 256 · the shorter side), from the center.
func TestCropFirstMayTakeLess(t *testing.T) {
	perceiver := repository.Input{Width: 224, Height: 224, Resize: repository.CropFirst, ResizeWidth: 256, ResizeHeight: 256}
	for _, c := range []struct {
		what          string
		offset        string
		width, height int
		want          Box
	}{
		{"a wide image", "", 97, 64, Box{20, 4, 76, 60}},
		{"a high image", "", 64, 97, Box{4, 20, 60, 76}},
		{"a side of which the crop is no whole number", "", 65, 65, Box{4, 4, 60, 60}},
		{"half an odd number, down", repository.CropFloor, 99, 64, Box{21, 4, 77, 60}},
		{"half an odd number, to even", repository.CropRound, 99, 64, Box{22, 4, 78, 60}},
		{"half an odd number, truncated", repository.CropTruncate, 99, 64, Box{21, 4, 77, 60}},
		{"a pixel", "", 1, 1, Box{0, 0, 1, 1}},
	} {
		in := perceiver
		in.CropOffset = c.offset
		r := Resample(&in, Image{Width: c.width, Height: c.height, Shrink: 1})
		if r.Source != c.want || r.Size.X != 224 || r.Size.Y != 224 || r.Input.X != 224 {
			t.Errorf("%s: %+v of size %v, want %+v", c.what, r.Source, r.Size, c.want)
		}
	}
}
