package geometry

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"fovea/internal/repository"
)

func mustSpec(t testing.TB, in repository.Input) Spec {
	t.Helper()
	s, err := SpecOf(in)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	stretch   = repository.Input{Width: 224, Height: 160}
	imagenet  = repository.Input{Width: 224, Height: 224, Resize: repository.ShortestEdge, ShortestEdge: 256}
	yolox     = repository.Input{Width: 416, Height: 416, Resize: repository.Letterbox, Place: "top_left"}
	letterbox = repository.Input{Width: 640, Height: 640, Resize: repository.Letterbox}
)

// TestPlacements holds numbers worked out by hand from the sources that each mode names.
func TestPlacements(t *testing.T) {
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
		"Ultralytics, centred":                                {letterbox, 810, 1080, image.Pt(480, 640), image.Pt(0, 0), image.Rect(80, 0, 560, 640)},
		"Ultralytics rounds to the nearest: 480.6":            {letterbox, 1000, 751, image.Pt(640, 481), image.Pt(0, 0), image.Rect(0, 79, 640, 560)},
		"a strip keeps a row":                                 {letterbox, 100000, 3, image.Pt(640, 1), image.Pt(0, 0), image.Rect(0, 319, 640, 320)},
	} {
		p := mustSpec(t, c.in).Place(Image{Width: c.width, Height: c.height, Shrink: 1})
		if p.Resized != c.resized || p.Cut != c.cut || p.Target != c.target || p.Source.Pixels() != image.Rect(0, 0, c.width, c.height) {
			t.Errorf("%s: %+v", what, p)
		}
		if p.Fit.Width != c.width || p.Fit.Height != c.height || p.Fit.InputW != c.in.Width || p.Fit.InputH != c.in.Height {
			t.Errorf("%s: %+v", what, p.Fit)
		}
	}
}

func TestALongStripIsCutBeforeItIsResized(t *testing.T) {
	for _, size := range []image.Point{{1 << 20, 40}, {40, 1 << 20}, {1 << 20, 1}, {5000, 100}} {
		s := mustSpec(t, imagenet)
		p := s.Place(Image{Width: size.X, Height: size.Y, Shrink: 1})
		if p.Resized != image.Pt(224, 224) || p.Source.Pixels().Empty() || !p.Source.Pixels().In(image.Rect(0, 0, size.X, size.Y)) {
			t.Errorf("%v: %+v", size, p)
		}
		x, y := p.Fit.ToImage(112, 112)
		if math.Abs(x-float64(size.X)/2) > 1 || math.Abs(y-float64(size.Y)/2) > 1 {
			t.Errorf("%v: the input's centre is at (%v, %v)", size, x, y)
		}
	}
}

// TestReducedDecodingKeepsThePlace decodes 1003 pixels to 126 at 1/8: the last of them stands for 3 pixels only, so
// that the input covers no more than 125 3/8 of them.
func TestReducedDecodingKeepsThePlace(t *testing.T) {
	s := mustSpec(t, repository.Input{Width: 63, Height: 63})
	p := s.Place(Image{Width: 1003, Height: 1008, Shrink: 8})
	if p.Source != (Box{0, 0, 125.375, 126}) || p.Resized != image.Pt(63, 63) {
		t.Fatalf("%+v", p)
	}
	// Turned round, the 5 pixels that are not there lie at the left.
	flipped := s.Place(Image{Width: 1003, Height: 1008, Shrink: 8, FlippedX: true, FlippedY: true})
	if flipped.Source != (Box{0.625, 0, 126, 126}) {
		t.Fatalf("%+v", flipped)
	}
	for _, p := range []Placement{p, flipped} {
		for _, c := range [][2]float64{{0, 0}, {31.5, 501.5}, {63, 1003}} {
			if x, _ := p.Fit.ToImage(c[0], 0); math.Abs(x-c[1]) > 1e-9 {
				t.Errorf("%v of the input lies at %v, want %v", c[0], x, c[1])
			}
		}
	}
}

// TestAShrunkImageLiesWhereTheWholeOneDoes compares the place of each point, whatever the decoder shrinks and rounds.
func TestAShrunkImageLiesWhereTheWholeOneDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, in := range []repository.Input{stretch, imagenet, yolox, letterbox} {
		s := mustSpec(t, in)
		for range 5000 {
			whole := Image{Width: 1 + random.IntN(5000), Height: 1 + random.IntN(5000), Shrink: 1}
			shrunk := whole
			shrunk.Shrink, shrunk.FlippedX, shrunk.FlippedY = 2<<random.IntN(3), random.IntN(2) == 0, random.IntN(2) == 0
			a, b := s.Place(whole), s.Place(shrunk)
			near := 1e-9 * float64(whole.Width+whole.Height)
			if a.Resized.X*a.Resized.Y != b.Resized.X*b.Resized.Y || a.Target != b.Target {
				t.Fatalf("%+v: %+v and %+v", shrunk, a, b)
			}
			if s.Mode == repository.ShortestEdge && a.Source.Dx()*a.Source.Dy() < float64(whole.Width*whole.Height) {
				near = 1 // cut on whole pixels
			}
			for _, at := range [][2]float64{{0, 0}, {1, 2}, {100, 50}, {float64(in.Width), float64(in.Height)}} {
				ax, ay := a.Fit.ToImage(at[0], at[1])
				bx, by := b.Fit.ToImage(at[0], at[1])
				if math.Abs(ax-bx) > near || math.Abs(ay-by) > near {
					t.Fatalf("%+v: %v lies at (%v, %v) and at (%v, %v)", shrunk, at, ax, ay, bx, by)
				}
			}
		}
	}
}

func TestToImageUndoesTheFit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, in := range []repository.Input{stretch, imagenet, yolox, letterbox} {
		s := mustSpec(t, in)
		for range 5000 {
			pic := Image{Width: 1 + random.IntN(5000), Height: 1 + random.IntN(5000), Shrink: 1 << random.IntN(4),
				FlippedX: random.IntN(2) == 0, FlippedY: random.IntN(2) == 0}
			p := s.Place(pic)
			if !p.Target.In(image.Rect(0, 0, in.Width, in.Height)) || p.Target.Empty() {
				t.Fatalf("%+v: target %v", pic, p.Target)
			}
			used := image.Rectangle{Min: p.Cut, Max: p.Cut.Add(p.Target.Size())}
			w, h := pic.decoded()
			if !used.In(image.Rectangle{Max: p.Resized}) || !p.Source.Pixels().In(image.Rect(0, 0, w, h)) || p.Source.Pixels().Empty() {
				t.Fatalf("%+v: %+v takes pixels that are not there", pic, p)
			}
			x, y := random.Float64()*float64(pic.Width), random.Float64()*float64(pic.Height)
			gx, gy := p.Fit.ToImage(x*p.Fit.ScaleX+p.Fit.OffsetX, y*p.Fit.ScaleY+p.Fit.OffsetY)
			if math.Abs(gx-x) > 1e-6*float64(pic.Width) || math.Abs(gy-y) > 1e-6*float64(pic.Height) {
				t.Fatalf("%+v: (%v, %v) came back as (%v, %v)", pic, x, y, gx, gy)
			}
		}
	}
}

func TestShrinkingByMuchKeepsTheAspect(t *testing.T) {
	for _, in := range []repository.Input{imagenet, yolox, letterbox} {
		p := mustSpec(t, in).Place(Image{Width: 4000, Height: 3000, Shrink: 1})
		if math.Abs(p.Fit.ScaleX/p.Fit.ScaleY-1) > 0.005 {
			t.Errorf("%s: %+v", in.Resize, p.Fit)
		}
	}
}
