package preprocess

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"slices"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
)

// drawings are grays of a pixel at (x, y) of w×h. Their inside is flat or rises slowly, so that shrinking in the decoder
// changes it by less than 1; the test is about the edges.
var drawings = map[string]func(x, y, w, h int) uint8{
	"a border of one pixel": func(x, y, w, h int) uint8 {
		if x == 0 || y == 0 || x == w-1 || y == h-1 {
			return 0
		}
		return 255
	},
	"a border of three pixels": func(x, y, w, h int) uint8 {
		if x < 3 || y < 3 || x >= w-3 || y >= h-3 {
			return 255
		}
		return 40
	},
	"only the last column and row": func(x, y, w, h int) uint8 {
		if x == w-1 || y == h-1 {
			return 255
		}
		return 0
	},
	"rising": func(x, y, w, h int) uint8 { return uint8(60 + 40*x/w + 40*y/h) },
}

// bothWays is a drawing as JPEG, and as PNG with the same decoded pixels.
func bothWays(t *testing.T, draw func(x, y, w, h int) uint8, w, h int) (asJPEG, asPNG []byte) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetGray(x, y, color.Gray{Y: draw(x, y, w, h)})
		}
	}
	var j, p bytes.Buffer
	if err := jpeg.Encode(&j, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	pixels, err := jpeg.Decode(bytes.NewReader(j.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&p, pixels); err != nil {
		t.Fatal(err)
	}
	return j.Bytes(), p.Bytes()
}

// TestSamePixelsGiveTheSameRow tries every size from 0 to 64 beyond the one where the decoder shrinks by a
// factor, for each orientation and way to resize.
func TestSamePixelsGiveTheSameRow(t *testing.T) {
	const side = 16
	shrinks := map[int]int{}
	n := 0
	for _, resize := range []repository.Resize{repository.Stretch, repository.Letterbox, repository.ShortestEdge} {
		in := resizedBy(bytesInput(side, side), resize)
		if resize == repository.Letterbox {
			in.Fill = []float64{114}
		}
		in.Decode = repository.DecodeFast
		plan := mustPlan(t, in)
		for _, factor := range []int{2, 4, 8} {
			for beyond := range 65 {
				w, h := 2*side*factor+beyond, 2*side*factor+beyond
				if beyond%2 == 1 {
					h = 2*side*factor + (beyond*7)%65
				}
				for i, name := range slices.Sorted(maps.Keys(drawings)) {
					if n++; resize != repository.Stretch && (beyond+i)%len(drawings) != 0 {
						continue // one of them each is enough
					}
					asJPEG, asPNG := bothWays(t, drawings[name], w, h)
					infoJ, infoP := mustInfo(t, asJPEG), mustInfo(t, asPNG)
					infoJ.Orientation, infoP.Orientation = 1+n%8, 1+n%8
					shrinks[plan.shrink(infoJ)]++
					what := fmt.Sprintf("%s of %d×%d, orientation %d, %s, 1/%d", name, w, h, infoJ.Orientation, resize, plan.shrink(infoJ))
					if _, worst := difference(decoded(t, plan, asJPEG, infoJ), decoded(t, plan, asPNG, infoP)); worst > 1 {
						t.Errorf("%s: JPEG and PNG differ by %d", what, worst)
					}
				}
			}
		}
	}
	t.Logf("decoded at 1/n: %v", shrinks)
	for _, shrink := range []int{2, 4, 8} {
		if shrinks[shrink] < 30 {
			t.Errorf("only %d images were decoded at 1/%d", shrinks[shrink], shrink)
		}
	}
}

func TestShrinkKeepsEdgesThatAreRead(t *testing.T) {
	stretch, crop := bytesInput(100, 100), bytesInput(100, 100)
	whole := resizedBy(bytesInput(100, 100), repository.ShortestEdge)
	crop.Resize, crop.ShortestEdge = repository.ShortestEdge, 116
	for _, c := range []struct {
		what          string
		in            repository.Input
		width, height int
		want          int
	}{
		{"sides that 8 divides", stretch, 2000, 1904, 8},
		{"one column more", stretch, 2001, 1905, 8},
		{"two columns more", stretch, 2002, 1904, 2},
		{"two rows more", stretch, 2000, 1906, 2},
		{"sides that 4 divides", stretch, 2004, 1904, 4},
		{"the columns at the right are cut off, the rows below are not", whole, 3002, 1904, 8},
		{"the rows below are not cut off", whole, 3000, 1906, 2},
		{"all edges are cut off", crop, 3006, 1906, 8},
		{"so small that it is halved", stretch, 403, 407, 2},
	} {
		c.in.Decode = repository.DecodeFast
		plan := mustPlan(t, c.in)
		for orientation := 1; orientation <= 8; orientation++ {
			info := header.Info{Format: header.JPEG, Width: c.width, Height: c.height, Orientation: orientation}
			if got := plan.shrink(info); got != c.want {
				t.Errorf("%s, orientation %d: 1/%d, want 1/%d", c.what, orientation, got, c.want)
			}
		}
	}
}

func TestStoredRect(t *testing.T) {
	for i, want := range []image.Rectangle{
		image.Rect(3, 5, 17, 11), image.Rect(23, 5, 37, 11), image.Rect(23, 19, 37, 25), image.Rect(3, 19, 17, 25),
		image.Rect(5, 3, 11, 17), image.Rect(5, 13, 11, 27), image.Rect(29, 13, 35, 27), image.Rect(29, 3, 35, 17),
	} {
		if got := storedRect(image.Rect(3, 5, 17, 11), 40, 30, i+1); got != want {
			t.Errorf("orientation %d: %v, want %v", i+1, got, want)
		}
	}
	if got := storedBox(geometry.Box{MinX: 0.625, MaxX: 33, MaxY: 20}, 33, 20, 2); got != (geometry.Box{MaxX: 32.375, MaxY: 20}) {
		t.Errorf("mirrored, what is cut off at the left is cut off at the right as stored: %v", got)
	}
}

func TestNearestIsDecodedInFull(t *testing.T) {
	in := bytesInput(20, 20)
	in.Interpolation, in.Decode = repository.PillowNearest, repository.DecodeFast
	if got := mustPlan(t, in).shrink(header.Info{Format: header.JPEG, Width: 800, Height: 800, Orientation: 1}); got != 1 {
		t.Errorf("1/%d: the mean of pixels is none of them", got)
	}
}
