package geometry

import (
	"image"
	"testing"

	"fovea/internal/repository"
)

// TestFitRoundsDownToMultiples compares with get_size_with_aspect_ratio_yolos of transformers 5.24 (models/yolos).
func TestFitRoundsDownToMultiples(t *testing.T) {
	for _, c := range []struct {
		short, long int
		image, want image.Point
	}{
		{160, 300, image.Pt(640, 480), image.Pt(208, 160)},
		{160, 300, image.Pt(480, 640), image.Pt(160, 208)},
		{160, 300, image.Pt(427, 640), image.Pt(160, 224)},
		{160, 300, image.Pt(1000, 300), image.Pt(288, 80)},
		{160, 300, image.Pt(512, 512), image.Pt(160, 160)},
		{160, 300, image.Pt(300, 1000), image.Pt(80, 288)},
		{160, 300, image.Pt(161, 160), image.Pt(160, 160)},
		{160, 300, image.Pt(8, 5), image.Pt(256, 160)},
		{512, 864, image.Pt(640, 480), image.Pt(672, 512)},
		{512, 864, image.Pt(480, 640), image.Pt(512, 672)},
		{512, 864, image.Pt(427, 640), image.Pt(512, 752)},
		{512, 864, image.Pt(1000, 300), image.Pt(864, 256)},
		{512, 864, image.Pt(512, 512), image.Pt(512, 512)},
		{512, 864, image.Pt(300, 1000), image.Pt(256, 864)},
		{512, 864, image.Pt(161, 160), image.Pt(512, 512)},
		{512, 864, image.Pt(8, 5), image.Pt(816, 512)},
		{800, 1333, image.Pt(640, 480), image.Pt(1056, 800)},
		{800, 1333, image.Pt(480, 640), image.Pt(800, 1056)},
		{800, 1333, image.Pt(427, 640), image.Pt(800, 1184)},
		{800, 1333, image.Pt(1000, 300), image.Pt(1328, 400)},
		{800, 1333, image.Pt(512, 512), image.Pt(800, 800)},
		{800, 1333, image.Pt(300, 1000), image.Pt(400, 1328)},
		{800, 1333, image.Pt(161, 160), image.Pt(800, 800)},
		{800, 1333, image.Pt(8, 5), image.Pt(1280, 800)},
		{40, 0, image.Pt(640, 480), image.Pt(48, 32)},
		{40, 0, image.Pt(480, 640), image.Pt(32, 48)},
		{40, 0, image.Pt(427, 640), image.Pt(32, 48)},
		{40, 0, image.Pt(1000, 300), image.Pt(128, 32)},
		{40, 0, image.Pt(512, 512), image.Pt(32, 32)},
		{40, 0, image.Pt(300, 1000), image.Pt(32, 128)},
		{40, 0, image.Pt(161, 160), image.Pt(32, 32)},
		{40, 0, image.Pt(8, 5), image.Pt(64, 32)},
		{8, 0, image.Pt(100, 20), image.Pt(32, 16)}, // where the function gives 0
	} {
		in := repository.Input{Resize: repository.Fit, ShortestEdge: c.short, LongestEdge: c.long, Multiple: 16}
		if got := TargetSize(&in, c.image.X, c.image.Y); got != c.want {
			t.Errorf("%v with edges of %d and %d: %v, want %v", c.image, c.short, c.long, got, c.want)
		}
	}
}
