package geometry

import (
	"image"
	"testing"

	"fovea/internal/repository"
)

// TestClosestKeepsTheAspectRatio compares with get_resize_output_image_size(image, size, keep_aspect_ratio=True, multiple) of transformers 5.24
// (models/dpt/image_processing_dpt.py).
func TestClosestKeepsTheAspectRatio(t *testing.T) {
	for _, c := range []struct {
		size        image.Point
		multiple    int
		image, want image.Point
	}{
		{image.Pt(518, 518), 14, image.Pt(1000, 300), image.Pt(518, 154)},
		{image.Pt(384, 512), 1, image.Pt(640, 480), image.Pt(683, 512)},
		{image.Pt(384, 512), 32, image.Pt(100, 90), image.Pt(384, 352)},
		{image.Pt(384, 512), 32, image.Pt(640, 480), image.Pt(672, 512)},
		{image.Pt(518, 518), 1, image.Pt(600, 400), image.Pt(518, 345)},
		{image.Pt(518, 518), 32, image.Pt(600, 400), image.Pt(512, 352)},
		{image.Pt(518, 518), 14, image.Pt(427, 640), image.Pt(350, 518)},
		{image.Pt(140, 140), 32, image.Pt(427, 640), image.Pt(128, 224)},
		{image.Pt(140, 140), 14, image.Pt(600, 400), image.Pt(210, 140)},
		{image.Pt(140, 140), 32, image.Pt(640, 480), image.Pt(192, 128)},
		{image.Pt(384, 512), 1, image.Pt(518, 700), image.Pt(384, 519)},
		{image.Pt(140, 140), 14, image.Pt(640, 480), image.Pt(182, 140)},
		{image.Pt(518, 518), 32, image.Pt(427, 640), image.Pt(352, 512)},
		{image.Pt(518, 518), 14, image.Pt(640, 480), image.Pt(686, 518)},
		{image.Pt(384, 512), 14, image.Pt(600, 400), image.Pt(770, 518)},
		{image.Pt(518, 518), 1, image.Pt(427, 640), image.Pt(346, 518)},
		{image.Pt(384, 512), 14, image.Pt(640, 480), image.Pt(686, 518)},
		{image.Pt(140, 140), 14, image.Pt(100, 90), image.Pt(140, 126)},
		{image.Pt(518, 518), 1, image.Pt(640, 480), image.Pt(691, 518)},
		{image.Pt(384, 512), 14, image.Pt(100, 90), image.Pt(378, 350)},
		{image.Pt(518, 518), 32, image.Pt(518, 700), image.Pt(512, 704)},
		{image.Pt(518, 518), 32, image.Pt(1000, 300), image.Pt(512, 160)},
	} {
		in := repository.Input{Resize: repository.Closest, ResizeWidth: c.size.X, ResizeHeight: c.size.Y, Multiple: c.multiple}
		if got := TargetSize(&in, c.image.X, c.image.Y); got != c.want {
			t.Errorf("%v to %v in multiples of %d: %v, want %v", c.image, c.size, c.multiple, got, c.want)
		}
	}
}

// TestOwnSizeInMultiples is that of GLPNImageProcessor.
func TestOwnSizeInMultiples(t *testing.T) {
	in := repository.Input{Resize: repository.NoResize, Multiple: 32}
	for from, want := range map[image.Point]image.Point{{X: 384, Y: 512}: {X: 384, Y: 512}, {X: 512, Y: 393}: {X: 512, Y: 384}, {X: 31, Y: 95}: {X: 32, Y: 64}} {
		if got := TargetSize(&in, from.X, from.Y); got != want {
			t.Errorf("%v: %v, want %v", from, got, want)
		}
	}
}

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
