package geometry

import (
	"encoding/json"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"fovea/internal/repository"
)

// TestLimitedSidesGolden compares with RapidOCR's DetPreProcess (postprocess/testdata/make_text.py).
func TestLimitedSidesGolden(t *testing.T) {
	data, err := os.ReadFile("testdata/text.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Kind                 string
		Limit, Width, Height int
		To                   [2]int
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range cases {
		in := repository.Input{Resize: repository.Limit, ShortestEdge: c.Limit, Multiple: 32}
		if c.Kind == "max" {
			in.ShortestEdge, in.LongestEdge = 0, c.Limit
		}
		if want := image.Pt(c.To[0], c.To[1]); want.X*want.Y <= 1<<22 {
			n++
			if got := InputSize(&in, c.Width, c.Height); got != want || TargetSize(&in, c.Width, c.Height) != want {
				t.Errorf("%+v: %v", c, got)
			}
		}
	}
	if n < 15 {
		t.Errorf("%d cases", n)
	}
}

// TestSidesOfTextDetection has sizes calculated by hand.
func TestSidesOfTextDetection(t *testing.T) {
	rapid := repository.Input{Resize: repository.Limit, ShortestEdge: 736, LongestEdge: 2000, Multiple: 32, MaxAspect: 8}
	long := repository.Input{Resize: repository.LongestEdge, LongestEdge: 960, Multiple: 128, ToMultiple: repository.RoundCeil}
	floor := repository.Input{Resize: repository.Limit, LongestEdge: 1000, Multiple: 32, ToMultiple: repository.RoundFloor}
	for what, c := range map[string]struct {
		in            repository.Input
		width, height int
		target, input image.Point
	}{
		"large images are made smaller, to a multiple of 32": {rapid, 4000, 3000, image.Pt(1984, 1504), image.Pt(1984, 1504)},
		"and narrow ones larger again":                       {rapid, 4000, 800, image.Pt(3808, 736), image.Pt(3808, 736)},
		"small images are made larger":                       {rapid, 800, 480, image.Pt(1216, 736), image.Pt(1216, 736)},
		"wide ones are padded to a quarter of their width":   {rapid, 1600, 100, image.Pt(2944, 184), image.Pt(2944, 736)},
		"those at the limit are not":                         {rapid, 800, 100, image.Pt(5792, 704), image.Pt(5792, 704)}, // 4 megapixels
		"a longer side, rounded up":                          {long, 800, 480, image.Pt(1024, 640), image.Pt(1024, 640)},
		"a longer side of a large image":                     {long, 1000, 3000, image.Pt(384, 1024), image.Pt(384, 1024)},
		"rounded down":                                       {floor, 2000, 1500, image.Pt(992, 736), image.Pt(992, 736)},
		"at least one multiple":                              {floor, 700, 3, image.Pt(672, 32), image.Pt(672, 32)},
	} {
		if target, input := TargetSize(&c.in, c.width, c.height), InputSize(&c.in, c.width, c.height); target != c.target || input != c.input {
			t.Errorf("%s: %v in %v, want %v in %v", what, target, input, c.target, c.input)
		}
	}
	wide := Resample(&rapid, Image{Width: 1600, Height: 100, Shrink: 1})
	if x, y := wide.Transform.ToImage(1472, 368); wide.Target != image.Rect(0, 276, 2944, 460) || math.Abs(x-800) > 1e-9 || math.Abs(y-50) > 1e-9 {
		t.Errorf("%+v", wide)
	}
}

// TestOpenLines has the sizes of resize_norm_img in RapidOCR's ch_ppocr_rec/text_recognize.py for one image.
func TestOpenLines(t *testing.T) {
	open := repository.Input{Resize: repository.FitHeight, Height: 48, MinWidth: 320, Width: 3200}
	strided := open
	strided.Stride = 64
	for what, c := range map[string]struct {
		in            repository.Input
		width, height int
		target, input image.Point
	}{
		"a short line is padded":                        {open, 294, 48, image.Pt(294, 48), image.Pt(320, 48)},
		"its width is rounded up":                       {open, 100, 33, image.Pt(146, 48), image.Pt(320, 48)},
		"a longer line is not, and rounded down":        {open, 1011, 54, image.Pt(898, 48), image.Pt(898, 48)},
		"a line that is too long is squeezed":           {open, 8000, 40, image.Pt(3200, 48), image.Pt(3200, 48)},
		"a column is as wide as one pixel":              {open, 1, 500, image.Pt(1, 48), image.Pt(320, 48)},
		"widths in steps are padded":                    {strided, 1011, 54, image.Pt(898, 48), image.Pt(960, 48)},
		"up to the limit, where the image is squeezed ": {strided, 8000, 40, image.Pt(3200, 48), image.Pt(3200, 48)},
	} {
		if target, input := TargetSize(&c.in, c.width, c.height), InputSize(&c.in, c.width, c.height); target != c.target || input != c.input {
			t.Errorf("%s: %v in %v, want %v in %v", what, target, input, c.target, c.input)
		}
	}
}

// TestEveryImageFitsInputsOfText tries random images, also strips: inputs stay within the limits, and images within inputs.
func TestEveryImageFitsInputsOfText(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	side := func(most int) int { return 1 + random.IntN(1+random.IntN(most)) }
	for range 20000 {
		in := repository.Input{Resize: repository.Limit, ShortestEdge: random.IntN(2000), LongestEdge: random.IntN(4000), Multiple: side(128),
			ToMultiple: []string{"", repository.RoundFloor, repository.RoundCeil}[random.IntN(3)], MaxAspect: float64(random.IntN(20))}
		switch random.IntN(3) {
		case 0:
			in.Resize, in.LongestEdge = repository.LongestEdge, side(4000)
		case 1:
			in = repository.Input{Resize: repository.FitHeight, Height: side(200), MinWidth: side(500), Stride: random.IntN(64)}
		}
		img := Image{Width: side(65535), Height: side(65535), Shrink: 1 << random.IntN(4)}
		g := Resample(&in, img)
		m := max(in.Multiple, 1)
		switch {
		case g.Target.Empty() || !g.Target.In(image.Rectangle{Max: g.Input}) || g.Target.Size() != g.Size:
			t.Fatalf("%+v of %+v: %+v", in, img, g)
		case g.Input.X > 8192+m || g.Input.Y > 8192+m || g.Input.X*g.Input.Y > 1<<22+8192*m:
			t.Fatalf("%+v of %+v: an input of %v", in, img, g.Input)
		case in.Resize != repository.FitHeight && (g.Input.X%m != 0 || g.Input.Y%m != 0):
			t.Fatalf("%+v of %+v: an input of %v, which is no multiple", in, img, g.Input)
		}
	}
}
