package inference

import (
	"math"
	"testing"

	"fovea/postprocess"
)

// TestTrialImagesHaveTheirSides measures how much the thirds of each image of a trial differ from plain.
func TestTrialImagesHaveTheirSides(t *testing.T) {
	for _, size := range [][2]int{{320, 320}, {96, 64}, {64, 200}} {
		w, h := size[0], size[1]
		for trial, side := range trialSides {
			pixels := trialImage(trial, w, h)
			if len(pixels) != 3*w*h {
				t.Fatalf("trial %d: %d bytes", trial, len(pixels))
			}
			contrast := func(x0, x1, y0, y1 int) (sum float64) {
				for y := y0; y < y1; y++ {
					for x := x0; x < x1; x++ {
						sum += math.Abs(float64(pixels[3*(y*w+x)])-118) / float64((x1-x0)*(y1-y0))
					}
				}
				return sum
			}
			shown := map[postprocess.Side]float64{postprocess.Left: contrast(0, w/3, 0, h), postprocess.Right: contrast(w-w/3, w, 0, h),
				postprocess.Top: contrast(0, w, 0, h/3), postprocess.Bottom: contrast(0, w, h-h/3, h)}
			for other, much := range shown {
				if side != postprocess.Everywhere && (much > 40) != (other == side) {
					t.Errorf("%v: trial %d shows %.0f on side %d, but says %d", size, trial, much, other, side)
				}
			}
		}
	}
	for _, size := range [][2]int{{1, 1}, {1, 7}, {2, 1}, {5000, 1}} { // however small
		for trial := range trials {
			trialImage(trial, size[0], size[1])
		}
	}
}
