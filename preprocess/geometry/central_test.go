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
