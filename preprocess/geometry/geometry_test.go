package geometry

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"fovea/internal/repository"
)

var (
	stretch   = repository.Input{Width: 224, Height: 160}
	imagenet  = repository.Input{Width: 224, Height: 224, Resize: repository.ShortestEdge, ShortestEdge: 256}
	yolox     = repository.Input{Width: 416, Height: 416, Resize: repository.Letterbox, Place: "top_left"}
	letterbox = repository.Input{Width: 640, Height: 640, Resize: repository.Letterbox}
	deit      = repository.Input{Width: 224, Height: 200, ResizeWidth: 256, ResizeHeight: 250}
	cover     = repository.Input{Width: 320, Height: 96, Resize: repository.Cover, ResizeWidth: 355, ResizeHeight: 106}
	border    = repository.Input{Width: 224, Height: 224, Resize: repository.Letterbox, ResizeWidth: 248, ResizeHeight: 248}
	padded    = repository.Input{Width: 256, Height: 240, Resize: repository.ShortestEdge, ShortestEdge: 225, CropOffset: repository.CropFloor}
	every     = []repository.Input{stretch, imagenet, yolox, letterbox, deit, cover, border, padded}
)

// TestResample has numbers calculated by hand from the reference of each mode.
func TestResample(t *testing.T) {
	for what, c := range map[string]struct {
		in            repository.Input
		width, height int
		resized, cut  image.Point
		target        image.Rectangle
	}{
		"stretch takes any size to the input's":               {stretch, 640, 480, image.Pt(224, 160), image.Pt(0, 0), image.Rect(0, 0, 224, 160)},
		"torchvision rounds the longer side down: 341.33":     {imagenet, 640, 480, image.Pt(341, 256), image.Pt(58, 16), image.Rect(0, 0, 224, 224)},
		"torchvision rounds a half to even: (345−224)/2=60.5": {imagenet, 256, 345, image.Pt(256, 345), image.Pt(16, 60), image.Rect(0, 0, 224, 224)},
		"and (347−224)/2=61.5":                                {imagenet, 347, 256, image.Pt(347, 256), image.Pt(62, 16), image.Rect(0, 0, 224, 224)},
		"small images grow":                                   {imagenet, 30, 20, image.Pt(384, 256), image.Pt(80, 16), image.Rect(0, 0, 224, 224)},
		"YOLOX, upright: 810·416/1080=312":                    {yolox, 810, 1080, image.Pt(312, 416), image.Pt(0, 0), image.Rect(0, 0, 312, 416)},
		"YOLOX rounds down: 491·416/640=319.15":               {yolox, 640, 491, image.Pt(416, 319), image.Pt(0, 0), image.Rect(0, 0, 416, 319)},
		"YOLOX rounds down: 494·416/640=321.1":                {yolox, 640, 494, image.Pt(416, 321), image.Pt(0, 0), image.Rect(0, 0, 416, 321)},
		"Ultralytics, centered":                               {letterbox, 810, 1080, image.Pt(480, 640), image.Pt(0, 0), image.Rect(80, 0, 560, 640)},
		"Ultralytics rounds to the nearest: 480.6":            {letterbox, 1000, 751, image.Pt(640, 481), image.Pt(0, 0), image.Rect(0, 79, 640, 560)},
		"a strip keeps a row":                                 {letterbox, 100000, 3, image.Pt(640, 1), image.Pt(0, 0), image.Rect(0, 319, 640, 320)},
		"DeiT crops after a stretch":                          {deit, 640, 480, image.Pt(256, 250), image.Pt(16, 25), image.Rect(0, 0, 224, 200)},
		"timm covers 355×106 with the height: 142 2/3":        {cover, 640, 480, image.Pt(355, 266), image.Pt(18, 85), image.Rect(0, 0, 320, 96)},
		"timm's border pads rows and crops columns":           {border, 640, 480, image.Pt(248, 186), image.Pt(12, 0), image.Rect(0, 19, 224, 205)},
		"transformers pads the larger half first":             {padded, 640, 480, image.Pt(300, 225), image.Pt(22, 0), image.Rect(0, 8, 256, 233)},
	} {
		p := Resample(&c.in, Image{Width: c.width, Height: c.height, Shrink: 1})
		if p.Size != c.resized || p.CropOffset != c.cut || p.Target != c.target || p.Source.Pixels() != image.Rect(0, 0, c.width, c.height) {
			t.Errorf("%s: %+v", what, p)
		}
		if p.Transform.Width != c.width || p.Transform.Height != c.height || p.Transform.InputW != c.in.Width || p.Transform.InputH != c.in.Height {
			t.Errorf("%s: %+v", what, p.Transform)
		}
	}
}

func TestOversizedImagesAreCroppedFirst(t *testing.T) {
	for _, size := range []image.Point{{1 << 20, 40}, {40, 1 << 20}, {1 << 20, 1}, {5000, 100}} {
		p := Resample(&imagenet, Image{Width: size.X, Height: size.Y, Shrink: 1})
		if p.Size != image.Pt(224, 224) || p.Source.Pixels().Empty() || !p.Source.Pixels().In(image.Rect(0, 0, size.X, size.Y)) {
			t.Errorf("%v: %+v", size, p)
		}
		x, y := p.Transform.ToImage(112, 112)
		if math.Abs(x-float64(size.X)/2) > 1 || math.Abs(y-float64(size.Y)/2) > 1 {
			t.Errorf("%v: the input's center is at (%v, %v)", size, x, y)
		}
	}
}

// TestShrinkRoundsUp decodes 1003 pixels to 126 at 1/8: the last of them stands for 3 pixels only, so
// that the input covers no more than 125 3/8 of them.
func TestShrinkRoundsUp(t *testing.T) {
	in := repository.Input{Width: 63, Height: 63}
	p := Resample(&in, Image{Width: 1003, Height: 1008, Shrink: 8})
	if p.Source != (Box{0, 0, 125.375, 126}) || p.Size != image.Pt(63, 63) {
		t.Fatalf("%+v", p)
	}
	// When flipped, the 5 missing pixels are at the left.
	flipped := Resample(&in, Image{Width: 1003, Height: 1008, Shrink: 8, FlippedX: true, FlippedY: true})
	if flipped.Source != (Box{0.625, 0, 126, 126}) {
		t.Fatalf("%+v", flipped)
	}
	for _, p := range []Resampling{p, flipped} {
		for _, c := range [][2]float64{{0, 0}, {31.5, 501.5}, {63, 1003}} {
			if x, _ := p.Transform.ToImage(c[0], 0); math.Abs(x-c[1]) > 1e-9 {
				t.Errorf("%v of the input lies at %v, want %v", c[0], x, c[1])
			}
		}
	}
}

// TestFlippedSidesRoundUpOnTheirOwn decodes 1003 pixels of each side at 1/8, of which the 5 missing ones are where the flip says.
func TestFlippedSidesRoundUpOnTheirOwn(t *testing.T) {
	for _, c := range []struct {
		x, y bool
		want Box
	}{
		{false, false, Box{0, 0, 125.375, 125.375}}, {true, false, Box{0.625, 0, 126, 125.375}},
		{false, true, Box{0, 0.625, 125.375, 126}}, {true, true, Box{0.625, 0.625, 126, 126}},
	} {
		got := Resample(&stretch, Image{Width: 1003, Height: 1003, Shrink: 8, FlippedX: c.x, FlippedY: c.y})
		if got.Source != c.want {
			t.Errorf("flipped in x %v, in y %v: %+v, want %+v", c.x, c.y, got.Source, c.want)
		}
	}
}

// TestWherePointsLie has points of the image and of the input, calculated by hand, for crops and padding at every side.
func TestWherePointsLie(t *testing.T) {
	for what, c := range map[string]struct {
		in          repository.Input
		x, y        float64 // of the input
		wantX, want float64 // of an image of 640×480
	}{
		"a stretch":                        {stretch, 112, 40, 320, 120},
		"a crop of an edge, at the left":   {imagenet, 0, 0, 58 * 640.0 / 341, 16 * 480.0 / 256},
		"a crop of a stretch, at the left": {deit, 0, 0, 40, 48},
		"and at the right":                 {deit, 224, 200, 600, 432},
		"a cover":                          {cover, 0, 0, 18 * 640.0 / 355, 85 * 480.0 / 266},
		"a border, cropped and padded":     {border, 0, 19, 12 * 640.0 / 248, 0},
		"padding above an edge":            {padded, 0, 8, 22 * 640.0 / 300, 0},
		"a letterbox":                      {letterbox, 320, 80, 320, 0},
		"an input at the top left":         {yolox, 208, 104, 320, 160},
	} {
		x, y := Resample(&c.in, Image{Width: 640, Height: 480, Shrink: 1}).Transform.ToImage(c.x, c.y)
		if math.Abs(x-c.wantX) > 1e-9 || math.Abs(y-c.want) > 1e-9 {
			t.Errorf("%s: (%v, %v) lies at (%v, %v), want (%v, %v)", what, c.x, c.y, x, y, c.wantX, c.want)
		}
	}
}

// TestTransformDoesNotDependOnShrink compares the positions of points with and without a shrink in the decoder.
func TestTransformDoesNotDependOnShrink(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, in := range every {
		for range 5000 {
			whole := Image{Width: 1 + random.IntN(5000), Height: 1 + random.IntN(5000), Shrink: 1}
			shrunk := whole
			shrunk.Shrink, shrunk.FlippedX, shrunk.FlippedY = 2<<random.IntN(3), random.IntN(2) == 0, random.IntN(2) == 0
			a, b := Resample(&in, whole), Resample(&in, shrunk)
			near := 1e-9 * float64(whole.Width+whole.Height)
			if a.Size.X*a.Size.Y != b.Size.X*b.Size.Y || a.Target != b.Target {
				t.Fatalf("%+v: %+v and %+v", shrunk, a, b)
			}
			if a.Source.Dx()*a.Source.Dy() < float64(whole.Width*whole.Height) {
				near = 1 // cut on whole pixels
			}
			for _, at := range [][2]float64{{0, 0}, {1, 2}, {100, 50}, {float64(in.Width), float64(in.Height)}} {
				ax, ay := a.Transform.ToImage(at[0], at[1])
				bx, by := b.Transform.ToImage(at[0], at[1])
				if math.Abs(ax-bx) > near || math.Abs(ay-by) > near {
					t.Fatalf("%+v: %v lies at (%v, %v) and at (%v, %v)", shrunk, at, ax, ay, bx, by)
				}
			}
		}
	}
}

func TestToImageInvertsTheTransform(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, in := range every {
		for range 5000 {
			img := Image{Width: 1 + random.IntN(5000), Height: 1 + random.IntN(5000), Shrink: 1 << random.IntN(4),
				FlippedX: random.IntN(2) == 0, FlippedY: random.IntN(2) == 0}
			p := Resample(&in, img)
			if !p.Target.In(image.Rect(0, 0, in.Width, in.Height)) || p.Target.Empty() {
				t.Fatalf("%+v: target %v", img, p.Target)
			}
			used := image.Rectangle{Min: p.CropOffset, Max: p.CropOffset.Add(p.Target.Size())}
			w, h := img.decoded()
			if !used.In(image.Rectangle{Max: p.Size}) || !p.Source.Pixels().In(image.Rect(0, 0, w, h)) || p.Source.Pixels().Empty() {
				t.Fatalf("%+v: %+v takes pixels that are not there", img, p)
			}
			x, y := random.Float64()*float64(img.Width), random.Float64()*float64(img.Height)
			gx, gy := p.Transform.ToImage(x*p.Transform.ScaleX+p.Transform.OffsetX, y*p.Transform.ScaleY+p.Transform.OffsetY)
			if math.Abs(gx-x) > 1e-6*float64(img.Width) || math.Abs(gy-y) > 1e-6*float64(img.Height) {
				t.Fatalf("%+v: (%v, %v) came back as (%v, %v)", img, x, y, gx, gy)
			}
		}
	}
}

// TestEveryImageFitsEveryInput tries random images, also strips, and random definitions of an input of fixed size.
func TestEveryImageFitsEveryInput(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 10))
	side := func(most int) int { return 1 + random.IntN(1+random.IntN(most)) }
	resizes := []repository.Resize{repository.Stretch, repository.ShortestEdge, repository.Cover, repository.Letterbox}
	interpolations := []string{repository.AreaLinear, repository.OpenCVLinear, repository.PillowBicubic, repository.TorchLanczos}
	offsets := []string{"", repository.CropRound, repository.CropFloor, repository.CropTruncate}
	inverses := []string{"", repository.InverseExact, repository.InverseGain, repository.InverseGainRounded, repository.InverseGainUnrounded}
	for range 50000 {
		in := repository.Input{Width: side(700), Height: side(700), Resize: resizes[random.IntN(4)],
			Interpolation: interpolations[random.IntN(4)], CropOffset: offsets[random.IntN(4)]}
		switch {
		case in.Resize == repository.ShortestEdge:
			in.ShortestEdge = side(700)
		case random.IntN(2) == 0:
			in.ResizeWidth, in.ResizeHeight = side(700), side(700)
		}
		if in.Resize == repository.Letterbox {
			in.Inverse, in.Place = inverses[random.IntN(5)], []string{"center", "top_left"}[random.IntN(2)]
		}
		img := Image{Width: side(65535), Height: side(65535), Shrink: 1 << random.IntN(4)}
		got := Resample(&in, img)
		used := image.Rectangle{Min: got.CropOffset, Max: got.CropOffset.Add(got.Target.Size())}
		w, h := img.decoded()
		switch {
		case got.Target.Empty() || !got.Target.In(image.Rect(0, 0, in.Width, in.Height)):
			t.Fatalf("%+v of %+v: the target is outside of the input: %+v", in, img, got)
		case !used.In(image.Rectangle{Max: got.Size}) || got.Source.Pixels().Empty() || !got.Source.Pixels().In(image.Rect(0, 0, w, h)):
			t.Fatalf("%+v of %+v: takes pixels that are not there: %+v", in, img, got)
		case !computesCrops(in.Interpolation) && got.Size.X*got.Size.Y > maxOversize*in.Width*in.Height:
			t.Fatalf("%+v of %+v: resizes too much: %+v", in, img, got)
		}
		// The middle of what is shown lies in the middle of an image that is centered, to the pixel of the input.
		x, y := got.Transform.ToImage(float64(in.Width)/2, float64(in.Height)/2)
		near := func(at, side, scale float64) bool { return math.Abs(at-side/2) <= 2.01/scale+1 }
		if isCentered(&in) && !(near(x, float64(img.Width), got.Transform.ScaleX) && near(y, float64(img.Height), got.Transform.ScaleY)) {
			t.Fatalf("%+v of %+v: the middle is at (%v, %v): %+v", in, img, x, y, got)
		}
	}
}

func TestTransformKeepsTheAspectRatio(t *testing.T) {
	for _, in := range []repository.Input{imagenet, yolox, letterbox, cover, border, padded} {
		p := Resample(&in, Image{Width: 4000, Height: 3000, Shrink: 1})
		if math.Abs(p.Transform.ScaleX/p.Transform.ScaleY-1) > 0.005 {
			t.Errorf("%s: %+v", in.Resize, p.Transform)
		}
	}
}
