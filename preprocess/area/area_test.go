package area

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/preprocess/geometry"
)

// box is a part of whole pixels.
func box(r image.Rectangle) geometry.Box {
	return geometry.Box{MinX: float64(r.Min.X), MinY: float64(r.Min.Y), MaxX: float64(r.Max.X), MaxY: float64(r.Max.Y)}
}

func TestShrinkErrors(t *testing.T) {
	whole, small := image.Rect(0, 0, 8, 6), image.Pt(4, 3)
	tests := map[string]struct {
		pixels, width int
		part          image.Rectangle
		size          image.Point
		wanted        image.Rectangle
		out           int
	}{
		"no image":                     {0, 0, whole, small, image.Rectangle{Max: small}, 36},
		"an image with too few bytes":  {3*8*6 - 1, 8, whole, small, image.Rectangle{Max: small}, 36},
		"a part outside of the image":  {3 * 8 * 6, 8, whole.Add(image.Pt(1, 0)), small, image.Rectangle{Max: small}, 36},
		"an empty part":                {3 * 8 * 6, 8, image.Rectangle{}, small, image.Rectangle{Max: small}, 36},
		"a side that grows":            {3 * 8 * 6, 8, whole, image.Pt(9, 3), image.Rect(0, 0, 4, 3), 36},
		"nothing wanted":               {3 * 8 * 6, 8, whole, small, image.Rectangle{}, 0},
		"wanted outside of the result": {3 * 8 * 6, 8, whole, small, image.Rect(1, 0, 5, 3), 36},
		"memory of another size":       {3 * 8 * 6, 8, whole, small, image.Rectangle{Max: small}, 35},
	}
	for name, tt := range tests {
		if err := Shrink(make([]byte, tt.pixels), tt.width, box(tt.part), tt.size, tt.wanted, make([]byte, tt.out)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestShrinkAveragesByArea(t *testing.T) {
	pixels := []byte{
		0, 10, 255 /**/, 2, 20, 255 /**/, 100, 0, 0,
		4, 30, 255 /**/, 6, 41, 255 /**/, 200, 0, 0,
	}
	tests := map[string]struct {
		part geometry.Box
		size image.Point
		want []byte
	}{
		"two by two":                   {box(image.Rect(0, 0, 2, 2)), image.Pt(1, 1), []byte{3, 25, 255}},
		"all":                          {box(image.Rect(0, 0, 3, 2)), image.Pt(1, 1), []byte{52, 17, 170}},
		"a pixel and a half each":      {box(image.Rect(0, 0, 3, 1)), image.Pt(2, 1), []byte{1, 13, 255, 67, 7, 85}},
		"one side alone":               {box(image.Rect(2, 0, 3, 2)), image.Pt(1, 1), []byte{150, 0, 0}},
		"half of the last pixel":       {geometry.Box{MaxX: 2.5, MaxY: 1}, image.Pt(1, 1), []byte{21, 12, 204}},
		"a quarter of the first":       {geometry.Box{MinX: 0.75, MaxX: 2, MaxY: 1}, image.Pt(1, 1), []byte{2, 18, 255}},
		"a part within one pixel":      {geometry.Box{MinX: 1, MinY: 0.5, MaxX: 3, MaxY: 1.5}, image.Pt(2, 1), []byte{4, 31, 255, 150, 0, 0}},
		"an image that stays as it is": {box(image.Rect(1, 0, 3, 1)), image.Pt(2, 1), []byte{2, 20, 255, 100, 0, 0}},
	}
	for name, tt := range tests {
		out := make([]byte, 3*tt.size.X*tt.size.Y)
		if err := Shrink(pixels, 3, tt.part, tt.size, image.Rectangle{Max: tt.size}, out); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(out, tt.want) {
			t.Errorf("%s: %v, want %v", name, out, tt.want)
		}
	}
}

func TestShrinkReadsOnlyTheSource(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	within := func(r image.Rectangle) image.Rectangle {
		x, y := r.Min.X+random.IntN(r.Dx()), r.Min.Y+random.IntN(r.Dy())
		return image.Rect(x, y, x+1+random.IntN(r.Max.X-x), y+1+random.IntN(r.Max.Y-y))
	}
	for range 2000 {
		whole := image.Rect(0, 0, 1+random.IntN(60), 1+random.IntN(60))
		part := within(whole)
		fraction := box(part)
		fraction.MaxX += random.Float64() * float64(whole.Max.X-part.Max.X)
		fraction.MinY -= random.Float64() * float64(part.Min.Y)
		size := image.Pt(1+random.IntN(part.Dx()), 1+random.IntN(part.Dy()))
		wanted := within(image.Rectangle{Max: size})
		source := Source(fraction, size, wanted)
		if source.Empty() || !source.In(fraction.Pixels()) {
			t.Fatalf("%v of %v, of which %v: source %v", fraction, size, wanted, source)
		}
		pixels := slices.Repeat([]byte{255}, 3*whole.Dx()*whole.Dy())
		for y := source.Min.Y; y < source.Max.Y; y++ {
			clear(pixels[3*(y*whole.Dx()+source.Min.X) : 3*(y*whole.Dx()+source.Max.X)])
		}
		out := make([]byte, 3*wanted.Dx()*wanted.Dy())
		if err := Shrink(pixels, whole.Dx(), fraction, size, wanted, out); err != nil {
			t.Fatal(err)
		}
		if slices.Max(out) != 0 { // the mean of zeros is zero
			t.Errorf("%v to %v, of which %v, looks at more than %v", fraction, size, wanted, source)
		}
	}
}
