package resample

import (
	"bytes"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/preprocess/geometry"
)

func TestRegionsThatAreRefused(t *testing.T) {
	valid := whole(8, 6, image.Pt(4, 3))
	tests := map[string]struct {
		change      func(*Region)
		pixels, out int
	}{
		"no image":                      {func(r *Region) { r.Width = 0 }, 0, 36},
		"too few pixels":                {func(*Region) {}, 143, 36},
		"a source outside the image":    {func(r *Region) { r.Source.MaxX = 9 }, 144, 36},
		"a source before the image":     {func(r *Region) { r.Source.MinY = -0.5 }, 144, 36},
		"a source that is empty":        {func(r *Region) { r.Source.MinX = 8 }, 144, 36},
		"a source that is turned":       {func(r *Region) { r.Source.MinX, r.Source.MaxX = 8, 0 }, 144, 36},
		"a source that is not a number": {func(r *Region) { r.Source.MinX = math.NaN() }, 144, 36},
		"nothing wanted":                {func(r *Region) { r.Crop = image.Rectangle{} }, 144, 0},
		"a crop outside the result":     {func(r *Region) { r.Crop = image.Rect(1, 0, 5, 3) }, 144, 36},
		"memory of another size":        {func(*Region) {}, 144, 35},
		"bounds outside the image":      {func(r *Region) { r.Bounds = image.Rect(0, 0, 9, 6) }, 144, 36},
		"a source outside the bounds":   {func(r *Region) { r.Bounds = image.Rect(0, 0, 7, 6) }, 144, 36},
	}
	for name, tt := range tests {
		r := valid
		tt.change(&r)
		if err := PillowBilinear.Resize(make([]byte, tt.pixels), r, make([]byte, tt.out)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := PillowBilinear.Resize(make([]byte, 144), valid, make([]byte, 36)); err != nil {
		t.Error(err)
	}
}

// random draws regions of every kind: sides of 1 to 70 pixels that shrink, grow or stay, sources within pixels, crops, and
// all orientations.
type random struct{ *rand.Rand }

func (r random) region() Region {
	w, h := 1+r.IntN(70), 1+r.IntN(70)
	region := whole(w, h, image.Pt(1+r.IntN(70), 1+r.IntN(70)))
	switch r.IntN(4) {
	case 0:
		region.Size.X = w
	case 1:
		region.Source = geometry.Box{MinX: r.Float64() / 2, MinY: r.Float64() / 2, MaxX: float64(w) - r.Float64()/2, MaxY: float64(h)}
	}
	x, y := r.IntN(region.Size.X), r.IntN(region.Size.Y)
	region.Crop = image.Rect(x, y, x+1+r.IntN(region.Size.X-x), y+1+r.IntN(region.Size.Y-y))
	region.Transposed, region.FlippedX, region.FlippedY = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	return region
}

func (r random) pixels(n int) []byte {
	pixels := make([]byte, n)
	for i := range pixels {
		pixels[i] = byte(r.Uint32())
	}
	return pixels
}

func resized(t testing.TB, f Filter, pixels []byte, r Region, simd bool) []byte {
	t.Helper()
	out := bytes.Repeat([]byte{0xA5}, 3*r.Crop.Dx()*r.Crop.Dy())
	if err := f.resize(pixels, r, out, simd); err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	return out
}

func TestSIMDIsEqualToPlain(t *testing.T) {
	random := random{rand.New(rand.NewPCG(1, 2))}
	for name, f := range filters {
		for range 400 {
			r := random.region()
			pixels := random.pixels(3 * r.Width * r.Height)
			if !bytes.Equal(resized(t, f, pixels, r, true), resized(t, f, pixels, r, false)) {
				t.Fatalf("%s: %+v differs", name, r)
			}
		}
	}
}

func TestACropIsPartOfTheWhole(t *testing.T) {
	random := random{rand.New(rand.NewPCG(3, 4))}
	for name, f := range filters {
		for range 200 {
			r := random.region()
			pixels := random.pixels(3 * r.Width * r.Height)
			all := r
			all.Crop = image.Rectangle{Max: r.Size}
			complete := resized(t, f, pixels, all, true)
			var want []byte
			for y := r.Crop.Min.Y; y < r.Crop.Max.Y; y++ {
				want = append(want, complete[3*(y*r.Size.X+r.Crop.Min.X):3*(y*r.Size.X+r.Crop.Max.X)]...)
			}
			if !bytes.Equal(resized(t, f, pixels, r, true), want) {
				t.Fatalf("%s: %+v is not a part of the whole", name, r)
			}
		}
	}
}

// TestBoundsHideOtherPixels compares with an image of the pixels within the bounds.
func TestBoundsHideOtherPixels(t *testing.T) {
	random := random{rand.New(rand.NewPCG(7, 8))}
	for name, f := range filters {
		for range 200 {
			part := random.region()
			left, top, right, bottom := random.IntN(20), random.IntN(20), random.IntN(20), random.IntN(20)
			r := part
			r.Width, r.Height = left+part.Width+right, top+part.Height+bottom
			r.Bounds = image.Rect(left, top, left+part.Width, top+part.Height)
			r.Source.MinX, r.Source.MaxX = r.Source.MinX+float64(left), r.Source.MaxX+float64(left)
			r.Source.MinY, r.Source.MaxY = r.Source.MinY+float64(top), r.Source.MaxY+float64(top)
			pixels := random.pixels(3 * r.Width * r.Height)
			var within []byte
			for y := top; y < top+part.Height; y++ {
				within = append(within, pixels[3*(y*r.Width+left):3*(y*r.Width+left+part.Width)]...)
			}
			if !bytes.Equal(resized(t, f, pixels, r, true), resized(t, f, within, part, true)) {
				t.Fatalf("%s: %+v differs", name, r)
			}
			if got, want := f.Reads(r), f.Reads(part).Add(r.Bounds.Min); got != want {
				t.Fatalf("%s: %+v reads %v, want %v", name, r, got, want)
			}
		}
	}
}

func TestOnlyTheSourceIsRead(t *testing.T) {
	random := random{rand.New(rand.NewPCG(5, 6))}
	for name, f := range filters {
		for range 200 {
			r := random.region()
			reads := f.Reads(r)
			if reads.Empty() || !reads.In(image.Rect(0, 0, r.Width, r.Height)) {
				t.Fatalf("%s: %+v reads %v", name, r, reads)
			}
			pixels := bytes.Repeat([]byte{255}, 3*r.Width*r.Height)
			for y := reads.Min.Y; y < reads.Max.Y; y++ {
				clear(pixels[3*(y*r.Width+reads.Min.X) : 3*(y*r.Width+reads.Max.X)])
			}
			if slices.Max(resized(t, f, pixels, r, true)) != 0 {
				t.Fatalf("%s: %+v reads more than %v", name, r, reads)
			}
		}
	}
}

func TestOneColorStays(t *testing.T) {
	random := random{rand.New(rand.NewPCG(7, 8))}
	for name, f := range filters {
		for range 100 {
			r := random.region()
			color := random.pixels(3)
			got := resized(t, f, bytes.Repeat(color, r.Width*r.Height), r, true)
			if _, worst := differences(got, bytes.Repeat(color, len(got)/3)); worst > 0 {
				t.Fatalf("%s: %+v changes a color by %d", name, r, worst)
			}
		}
	}
}

// TestExtremeFactors shrinks and grows by thousands.
func TestExtremeFactors(t *testing.T) {
	random := random{rand.New(rand.NewPCG(9, 10))}
	long := random.pixels(3 * 20000)
	mean := [3]int{}
	for i, v := range long {
		mean[i%3] += int(v)
	}
	for i := range mean {
		mean[i] = (mean[i] + 10000) / 20000
	}
	for name, f := range filters {
		got := resized(t, f, long, whole(20000, 1, image.Pt(1, 1)), true)
		if f.nearest == nil && name == "pillow_box" && (int(got[0]) != mean[0] || int(got[1]) != mean[1] || int(got[2]) != mean[2]) {
			t.Errorf("%s: %v; the mean is %v", name, got, mean)
		}
		r := whole(1, 2, image.Pt(30000, 2000))
		r.Crop = image.Rect(29990, 10, 30000, 14)
		if got := resized(t, f, []byte{9, 8, 7, 9, 8, 7}, r, true); !bytes.Equal(got, bytes.Repeat([]byte{9, 8, 7}, 40)) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzResize looks for regions that make Resize fail or write beyond its memory, which the guards on both sides show.
func FuzzResize(f *testing.F) {
	f.Add(uint16(37), uint16(23), uint16(16), uint16(9), uint16(1), uint16(2), uint16(5), uint16(6), byte(0))
	f.Add(uint16(1), uint16(1), uint16(300), uint16(2), uint16(0), uint16(0), uint16(300), uint16(2), byte(0xFF))
	f.Fuzz(func(t *testing.T, w, h, sizeX, sizeY, cropX, cropY, cropW, cropH uint16, how byte) {
		side := func(v uint16) int { return 1 + int(v)%400 }
		r := whole(side(w), side(h), image.Pt(side(sizeX), side(sizeY)))
		r.Crop = image.Rect(int(cropX)%r.Size.X, int(cropY)%r.Size.Y, int(cropX)%r.Size.X+side(cropW), int(cropY)%r.Size.Y+side(cropH))
		r.Crop = r.Crop.Intersect(image.Rectangle{Max: r.Size})
		r.Transposed, r.FlippedX, r.FlippedY = how&1 != 0, how&2 != 0, how&4 != 0
		if how&8 != 0 {
			r.Source.MaxX -= float64(how) / 512
		}
		const guard = 64
		pixels := bytes.Repeat([]byte{how}, 3*r.Width*r.Height)
		n := 3 * r.Crop.Dx() * r.Crop.Dy()
		memory := bytes.Repeat([]byte{^how}, n+2*guard)
		for _, filter := range filters {
			if err := filter.Resize(pixels, r, memory[guard:guard+n:guard+n]); err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			want := slices.Concat(bytes.Repeat([]byte{^how}, guard), bytes.Repeat([]byte{how}, n), bytes.Repeat([]byte{^how}, guard))
			if !bytes.Equal(memory, want) {
				t.Fatalf("%+v: wrong values, or written outside", r)
			}
		}
	})
}
