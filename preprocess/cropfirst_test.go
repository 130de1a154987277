package preprocess

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"fovea/internal/repository"
)

// TestCropFirstResizesTheCropAlone compares with a stretch of an image that was cropped before.
func TestCropFirstResizesTheCropAlone(t *testing.T) {
	whole := image.NewRGBA(image.Rect(0, 0, 97, 64))
	copy(whole.Pix, noise(rand.New(rand.NewPCG(1, 2)), len(whole.Pix)))
	for i := 3; i < len(whole.Pix); i += 4 {
		whole.Pix[i] = 255
	}
	part := whole.SubImage(image.Rect(16, 0, 80, 64))
	for _, interpolation := range repository.Interpolations() {
		for _, size := range []int{24, 64, 100} {
			crop, stretch := bytesInput(size, size), bytesInput(size, size)
			crop.Resize, crop.Interpolation, stretch.Interpolation = repository.CropFirst, interpolation, interpolation
			got := prepared(t, mustPlan(t, crop), pngOf(t, whole))
			if want := prepared(t, mustPlan(t, stretch), pngOf(t, part)); !bytes.Equal(got, want) {
				t.Errorf("%s to %d pixels differs from a stretch of the crop", interpolation, size)
			}
		}
	}
}
