package geometry

import (
	"image"
	"math/rand/v2"
	"reflect"
	"testing"
)

// sahiTiles is get_slice_bboxes of sahi/slicing.py, statement by statement.
func sahiTiles(width, height, sliceWidth, sliceHeight int, overlap float64) (list []image.Rectangle) {
	yOverlap, xOverlap := int(overlap*float64(sliceHeight)), int(overlap*float64(sliceWidth))
	yMax, yMin := 0, 0
	for yMax < height {
		xMin, xMax := 0, 0
		yMax = yMin + sliceHeight
		for xMax < width {
			xMax = xMin + sliceWidth
			if yMax > height || xMax > width {
				xMax, yMax = min(width, xMax), min(height, yMax)
				xMin, yMin = max(0, xMax-sliceWidth), max(0, yMax-sliceHeight)
			}
			list = append(list, image.Rect(xMin, yMin, xMax, yMax))
			xMin = xMax - xOverlap
		}
		yMin = yMax - yOverlap
	}
	return list
}

func TestTilesEqualSahi(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		tile := image.Pt(1+random.IntN(90), 1+random.IntN(90))
		img := image.Pt(1+random.IntN(400), 1+random.IntN(400))
		tiles := Tiles{tile, float64(random.IntN(91)) / 100}
		got, want := tiles.Of(img), sahiTiles(img.X, img.Y, tile.X, tile.Y, tiles.Overlap)
		if !reflect.DeepEqual(got, want) || tiles.Count(img) != len(want) {
			t.Fatalf("%v of %v: %d tiles %v, want %d %v", tiles, img, tiles.Count(img), got, len(want), want)
		}
	}
}

func TestTilesCoverTheImage(t *testing.T) {
	for what, c := range map[string]struct {
		tiles Tiles
		img   image.Point
		want  []image.Rectangle
	}{
		"an image of the tile's size":             {Tiles{image.Pt(64, 64), 0.2}, image.Pt(64, 64), []image.Rectangle{image.Rect(0, 0, 64, 64)}},
		"a smaller image":                         {Tiles{image.Pt(64, 64), 0.2}, image.Pt(30, 20), []image.Rectangle{image.Rect(0, 0, 30, 20)}},
		"a low image: the last is shifted inward": {Tiles{image.Pt(64, 64), 0}, image.Pt(100, 20), []image.Rectangle{image.Rect(0, 0, 64, 20), image.Rect(36, 0, 100, 20)}},
		"tiles that end at the image's edge":      {Tiles{image.Pt(64, 64), 0.5}, image.Pt(96, 64), []image.Rectangle{image.Rect(0, 0, 64, 64), image.Rect(32, 0, 96, 64)}},
		"a width and a height":                    {Tiles{image.Pt(40, 20), 0}, image.Pt(40, 30), []image.Rectangle{image.Rect(0, 0, 40, 20), image.Rect(0, 10, 40, 30)}},
	} {
		if got := c.tiles.Of(c.img); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	if n := (Tiles{image.Pt(32, 32), 0.99}).Count(image.Pt(1<<30, 1<<30)); n < 1<<56 {
		t.Errorf("a large image has %d tiles", n)
	}
}
