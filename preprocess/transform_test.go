package preprocess

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"fovea/internal/repository"
)

// TestTransformLocatesPixels looks for a white square in the packed row and maps its center back to the image:
// for every orientation, every way to resize, and several sizes, so that JPEG is decoded in full or reduced.
func TestTransformLocatesPixels(t *testing.T) {
	const width, height = 1009, 809
	middle := map[int][2]float64{ // of the square at (400, 440) as stored, orientation-corrected
		1: {400, 440}, 2: {width - 400, 440}, 3: {width - 400, height - 440}, 4: {400, height - 440},
		5: {440, 400}, 6: {height - 440, 400}, 7: {height - 440, width - 400}, 8: {440, width - 400},
	}
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(color.Black), image.Point{}, draw.Src)
	draw.Draw(img, image.Rect(350, 390, 450, 490), image.NewUniform(color.White), image.Point{}, draw.Src)
	data := encodedJPEG(t, img)
	shrinks := map[int]bool{}
	for _, size := range []int{40, 100, 180, 400} {
		for _, resize := range []repository.Resize{repository.Stretch, repository.ShortestEdge, repository.Letterbox} {
			in := resizedBy(bytesInput(size, size), resize)
			in.Decode = repository.DecodeFast
			plan := mustPlan(t, in)
			for orientation, want := range middle {
				info := mustInfo(t, data)
				info.Orientation = orientation
				img, err := plan.Decode(t.Context(), data, info)
				if err != nil {
					t.Fatal(err)
				}
				row := poisoned(plan.RowBytes())
				fit, err := plan.Pack(img, row)
				shrinks[img.size.Shrink] = true
				img.Close()
				if err != nil {
					t.Fatal(err)
				}
				name := fmt.Sprintf("%s to %d, orientation %d", resize, size, orientation)
				if w, h := info.OrientedSize(); fit.Width != w || fit.Height != h {
					t.Errorf("%s: the image is %d×%d", name, fit.Width, fit.Height)
				}
				gx, gy := brightMiddle(row, size)
				x, y := fit.ToImage(gx, gy)
				if math.Hypot(x-want[0], y-want[1]) > 1 {
					t.Errorf("%s: the square is at (%.1f, %.1f), want %v", name, x, y, want)
				}
			}
		}
	}
	if len(shrinks) != 4 {
		t.Errorf("decoded at 1/%v; all four were to be tried", shrinks)
	}
}

// brightMiddle is the center of gravity of a row's first channel. Pixel i covers i to i+1.
func brightMiddle(row []byte, size int) (x, y float64) {
	sum := 0.0
	for i := 0; i < len(row); i += 3 {
		v := float64(row[i])
		if v < 20 {
			continue // the ringing of JPEG
		}
		sum += v
		x += v * (float64(i/3%size) + 0.5)
		y += v * (float64(i/3/size) + 0.5)
	}
	return x / sum, y / sum
}
