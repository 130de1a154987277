package resample

import (
	"encoding/json"
	"image"
	"os"
	"testing"

	"fovea/preprocess/geometry"
)

// filters are those that the goldens name, and OpenCV's.
var filters = map[string]Filter{
	"pillow_nearest": PillowNearest, "pillow_box": PillowBox, "pillow_bilinear": PillowBilinear, "pillow_hamming": PillowHamming,
	"pillow_bicubic": PillowBicubic, "pillow_lanczos": PillowLanczos, "torch_antialias": TorchAntialias,
	"torch_antialias_bicubic": TorchBicubic, "torch_antialias_lanczos": TorchLanczos, "torch_nearest_exact": TorchNearest,
	"opencv_nearest": OpenCVNearest,
}

// goldens are made by testdata/generate.py, which says what they hold.
type goldens struct {
	Width, Height int
	Image         []byte
	Cases         []struct {
		Filter     string
		Part, Size [2]int
		Box        *[4]float64
		Result     []byte
	}
}

func readGoldens(t testing.TB) goldens {
	t.Helper()
	data, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

// part is the top left of the image.
func (g goldens) part(w, h int) []byte {
	var pixels []byte
	for y := range h {
		pixels = append(pixels, g.Image[3*y*g.Width:3*(y*g.Width+w)]...)
	}
	return pixels
}

// whole is the region of a whole image of which all is computed.
func whole(w, h int, size image.Point) Region {
	return Region{
		Width: w, Height: h, Source: geometry.Box{MaxX: float64(w), MaxY: float64(h)}, Size: size, Crop: image.Rectangle{Max: size},
	}
}

func TestEqualToPillowAndPyTorch(t *testing.T) {
	g := readGoldens(t)
	tried := map[string]int{}
	for _, c := range g.Cases {
		f := filters[c.Filter]
		r := whole(c.Part[0], c.Part[1], image.Pt(c.Size[0], c.Size[1]))
		if c.Box != nil {
			r.Source = geometry.Box{MinX: c.Box[0], MinY: c.Box[1], MaxX: c.Box[2], MaxY: c.Box[3]}
		}
		upright := bitmap{g.part(r.Width, r.Height), r.Width, r.Height}
		for orientation := 1; orientation <= 8; orientation++ {
			for _, simd := range []bool{true, false} {
				stored, region := asStored(upright, r, orientation)
				got := bitmap{make([]byte, len(c.Result)), region.Size.X, region.Size.Y}
				if err := f.resize(stored.pixels, region, got.pixels, simd); err != nil {
					t.Fatal(err)
				}
				want := turned(bitmap{c.Result, r.Size.X, r.Size.Y}, orientation)
				if n, worst := differences(got.pixels, want.pixels); n > 0 {
					t.Errorf("%s of %v to %v, orientation %d, simd %v: %d of %d bytes differ, by %d at worst",
						c.Filter, r.Source, r.Size, orientation, simd, n, len(c.Result), worst)
				}
				tried[c.Filter]++
			}
		}
	}
	for name := range filters {
		if name != "opencv_nearest" && tried[name] < 16*13 {
			t.Errorf("%s: only %d cases", name, tried[name])
		}
	}
}

func differences(a, b []byte) (n, worst int) {
	for i := range a {
		if a[i] != b[i] {
			n++
			worst = max(worst, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
		}
	}
	return n, worst
}

// bitmap is an image of three bytes a pixel.
type bitmap struct {
	pixels []byte
	w, h   int
}

// axes describes an EXIF orientation: the stored image is the upright one transposed, then flipped in x and in y.
func axes(orientation int) (transposed, x, y bool) {
	return orientation >= 5, orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8,
		orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7
}

// turned is the upright image as it is stored.
func turned(b bitmap, orientation int) bitmap {
	transposed, flipX, flipY := axes(orientation)
	out := bitmap{make([]byte, len(b.pixels)), b.w, b.h}
	if transposed {
		out.w, out.h = b.h, b.w
	}
	for y := range out.h {
		for x := range out.w {
			fromX, fromY := x, y
			if flipX {
				fromX = out.w - 1 - x
			}
			if flipY {
				fromY = out.h - 1 - y
			}
			if transposed {
				fromX, fromY = fromY, fromX
			}
			copy(out.pixels[3*(y*out.w+x):][:3], b.pixels[3*(fromY*b.w+fromX):][:3])
		}
	}
	return out
}

// asStored turns an image and a region of it.
func asStored(b bitmap, r Region, orientation int) (bitmap, Region) {
	stored := turned(b, orientation)
	transposed, flipX, flipY := axes(orientation)
	out := Region{Width: stored.w, Height: stored.h, Transposed: transposed, FlippedX: flipX, FlippedY: flipY}
	s, c := r.Source, r.Crop
	out.Size = r.Size
	if transposed {
		s = geometry.Box{MinX: s.MinY, MinY: s.MinX, MaxX: s.MaxY, MaxY: s.MaxX}
		c = image.Rect(c.Min.Y, c.Min.X, c.Max.Y, c.Max.X)
		out.Size = image.Pt(r.Size.Y, r.Size.X)
	}
	if flipX {
		s.MinX, s.MaxX = float64(out.Width)-s.MaxX, float64(out.Width)-s.MinX
		c = image.Rect(out.Size.X-c.Max.X, c.Min.Y, out.Size.X-c.Min.X, c.Max.Y)
	}
	if flipY {
		s.MinY, s.MaxY = float64(out.Height)-s.MaxY, float64(out.Height)-s.MinY
		c = image.Rect(c.Min.X, out.Size.Y-c.Max.Y, c.Max.X, out.Size.Y-c.Min.Y)
	}
	out.Source, out.Crop = s, c
	return stored, out
}
