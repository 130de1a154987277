package geometry

import (
	"encoding/csv"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"fovea/internal/repository"
)

// referenceInputs are the definitions of the kinds in testdata/sizes.csv, without their sizes.
var referenceInputs = map[string]repository.Input{
	"letterbox": {Resize: repository.Letterbox, Place: "center", Rounding: repository.RoundNearest},
	"yolox":     {Resize: repository.Letterbox, Place: "top_left", Rounding: repository.RoundFloor},
	"detr":      {Resize: repository.Fit, Rounding: repository.RoundFloor},
	"eomt":      {Resize: repository.Fit, Rounding: repository.RoundNearest},
	"paddle":    {Resize: repository.Fit, Rounding: repository.RoundNearest},
	"crop":      {Resize: repository.ShortestEdge, Rounding: repository.RoundFloor},

	"stretch_pil":         {Resize: repository.Stretch, CropOffset: repository.CropFloor},
	"stretch_torch":       {Resize: repository.Stretch, CropOffset: repository.CropTruncate},
	"stretch_torchvision": {Resize: repository.Stretch, CropOffset: repository.CropRound},
	"edge_pil":            {Resize: repository.ShortestEdge, CropOffset: repository.CropFloor},
	"edge_torch":          {Resize: repository.ShortestEdge, CropOffset: repository.CropTruncate},
	"timm_cover":          {Resize: repository.Cover},
	"timm_border":         {Resize: repository.Letterbox, Rounding: repository.RoundNearest},
	"mmcv":                {Resize: repository.Fit, Rounding: repository.RoundHalfUp},
}

// numbers reads a file that make_sizes.py writes: the kind, and numbers, of each line.
func numbers(t *testing.T, name string) (kinds []string, lines [][]float64) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil || len(rows) < 1000 {
		t.Fatalf("%d lines, %v", len(rows), err)
	}
	for _, row := range rows {
		v := make([]float64, len(row)-1)
		for i, text := range row[1:] {
			if v[i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		kinds, lines = append(kinds, row[0]), append(lines, v)
	}
	return kinds, lines
}

// TestSizesMatchLibraries compares sizes, padding and crops with those that Python computes as the libraries do.
func TestSizesMatchLibraries(t *testing.T) {
	kinds, lines := numbers(t, "testdata/sizes.csv")
	for i, line := range lines {
		v := make([]int, len(line))
		for i, n := range line {
			v[i] = int(n)
		}
		in, known := referenceInputs[kinds[i]]
		if !known {
			t.Fatalf("%s is not known", kinds[i])
		}
		in.Width, in.Height, in.Stride, in.ShortestEdge, in.LongestEdge = v[0], v[1], v[2], v[3], v[4]
		in.ResizeWidth, in.ResizeHeight = v[13], v[14]
		in.Interpolation = repository.PillowBilinear // of which only the crop is computed
		img := Image{Width: v[5], Height: v[6], Shrink: 1}
		size, at, input := image.Pt(v[7], v[8]), image.Pt(v[9], v[10]), image.Pt(v[11], v[12])
		got := Resample(&in, img)
		before := got.Target.Min.Sub(got.CropOffset)
		if TargetSize(&in, img.Width, img.Height) != size || got.Input != input {
			t.Errorf("%s %v: resized to %v in %v, want %v in %v", kinds[i], v, TargetSize(&in, img.Width, img.Height), got.Input, size, input)
		} else if before != at {
			t.Errorf("%s %v: is at %v, want %v", kinds[i], v, before, at)
		}
	}
}

// TestInverseMatchesExporters compares where points are mapped back to with what Python computes as the exporters do.
func TestInverseMatchesExporters(t *testing.T) {
	letterbox := repository.Input{Resize: repository.Letterbox, Place: "center"}
	inputs := map[string]repository.Input{"yolox": {Resize: repository.Letterbox, Place: "top_left", Inverse: repository.InverseGain}}
	for kind, inverse := range map[string]string{
		"ultralytics_8_3": repository.InverseGainRounded, "ultralytics_8_4_25": repository.InverseGain,
		"ultralytics_8_4_174": repository.InverseExact, "yolov5": repository.InverseGainUnrounded,
	} {
		letterbox.Inverse = inverse
		inputs[kind] = letterbox
	}
	kinds, lines := numbers(t, "testdata/boxes.csv")
	for i, v := range lines {
		in, known := inputs[kinds[i]]
		if !known {
			t.Fatalf("%s is not known", kinds[i])
		}
		in.Width, in.Height, in.Stride = int(v[0]), int(v[1]), int(v[2])
		transform := Resample(&in, Image{Width: int(v[3]), Height: int(v[4]), Shrink: 1 << (i % 4)}).Transform
		x, y := transform.ToImage(v[5], v[6])
		wantX, wantY := max(0, min(v[7], v[3])), max(0, min(v[8], v[4]))
		if math.Abs(x-wantX) > 2e-3 || math.Abs(y-wantY) > 2e-3 {
			t.Errorf("%s %v: (%.4f, %.4f), want (%.4f, %.4f)", kinds[i], v, x, y, wantX, wantY)
		}
	}
}

// TestInverseOfFit: PaddleDetection's Resize with keep_ratio gives one factor that is not rounded as the scale of both axes.
func TestInverseOfFit(t *testing.T) {
	in := repository.Input{Resize: repository.Fit, ShortestEdge: 800, LongestEdge: 1333, Stride: 32, Rounding: repository.RoundNearest, Inverse: repository.InverseGain}
	for _, c := range []struct {
		width, height int
		want          float64
	}{{1000, 900, 800.0 / 900}, {900, 1000, 800.0 / 900}, {1000, 500, 1333.0 / 1000}, {777, 2000, 1333.0 / 2000}} {
		got := Resample(&in, Image{Width: c.width, Height: c.height, Shrink: 1}).Transform
		if math.Abs(got.ScaleX-c.want) > 1e-12 || got.ScaleX != got.ScaleY || got.OffsetX != 0 || got.OffsetY != 0 {
			t.Errorf("%d×%d: %+v, want a factor of %v", c.width, c.height, got, c.want)
		}
	}
}

func TestRounding(t *testing.T) {
	letterbox := repository.Input{Width: 100, Height: 100, Resize: repository.Letterbox}
	edge := repository.Input{Width: 50, Height: 50, Resize: repository.ShortestEdge, ShortestEdge: 50}
	line := repository.Input{Width: 192, Height: 48, Resize: repository.FitHeight}
	cover := repository.Input{Width: 40, Height: 30, Resize: repository.Cover}
	fit := repository.Input{Resize: repository.Fit, ShortestEdge: 800, LongestEdge: 1333}
	atTopLeft := letterbox
	atTopLeft.Place = "top_left"
	for what, c := range map[string]struct {
		in            repository.Input
		rounding      string
		width, height int
		want          image.Point
	}{
		"a letterbox rounds 66.67 down":           {letterbox, repository.RoundFloor, 300, 200, image.Pt(100, 66)},
		"a letterbox rounds 66.67 to the nearest": {letterbox, repository.RoundNearest, 300, 200, image.Pt(100, 67)},
		"a letterbox rounds 33.33 up":             {letterbox, repository.RoundCeil, 300, 100, image.Pt(100, 34)},
		"a letterbox rounds 12.5 to even":         {letterbox, repository.RoundNearest, 200, 25, image.Pt(100, 12)},
		"a letterbox rounds 13.5 to even":         {letterbox, repository.RoundNearest, 200, 27, image.Pt(100, 14)},
		"rounding up never leaves the input":      {letterbox, repository.RoundCeil, 107, 61, image.Pt(100, 58)},
		"a shortest edge rounds 66.67 down":       {edge, repository.RoundFloor, 400, 300, image.Pt(66, 50)},
		"a shortest edge rounds 66.67 up":         {edge, repository.RoundCeil, 400, 300, image.Pt(67, 50)},
		"a shortest edge rounds 62.5 to even":     {edge, repository.RoundNearest, 40, 50, image.Pt(50, 62)},
		"a shortest edge rounds 62.5 up":          {edge, repository.RoundHalfUp, 40, 50, image.Pt(50, 63)},
		"a letterbox rounds 12.5 up":              {letterbox, repository.RoundHalfUp, 200, 25, image.Pt(100, 13)},
		"a letterbox rounds 12.4 down":            {letterbox, repository.RoundHalfUp, 250, 31, image.Pt(100, 12)},
		"a letterbox rounds to the nearest":       {letterbox, "", 300, 200, image.Pt(100, 67)},
		"one at the top left rounds down":         {atTopLeft, "", 300, 200, image.Pt(100, 66)},
		"a shortest edge rounds down":             {edge, "", 400, 300, image.Pt(66, 50)},
		"a cover rounds to the nearest":           {cover, "", 300, 199, image.Pt(45, 30)},
		"a line of text rounds up":                {line, "", 100, 33, image.Pt(146, 48)},
		"transformers keeps a side of that size":  {fit, repository.RoundFloor, 1334, 600, image.Pt(1334, 600)},
		"mmcv scales the other one":               {fit, repository.RoundHalfUp, 1334, 600, image.Pt(1333, 600)},
		"and is squeezed where it is too wide":    {line, "", 1000, 33, image.Pt(192, 48)},
	} {
		c.in.Rounding = c.rounding
		if got := TargetSize(&c.in, c.width, c.height); got != c.want {
			t.Errorf("%s: got %v, want %v", what, got, c.want)
		}
	}
}

func TestOpenSizes(t *testing.T) {
	own := repository.Input{Resize: repository.NoResize}
	padded := repository.Input{Resize: repository.NoResize, Stride: 32}
	limitedTo := repository.Input{Resize: repository.NoResize, Width: 640, Height: 480}
	wide := repository.Input{Resize: repository.NoResize, Width: 1000, Stride: 32}
	fit := repository.Input{Resize: repository.Fit, ShortestEdge: 800}
	strip := repository.Input{Resize: repository.Fit, ShortestEdge: 50, LongestEdge: 100}
	for what, c := range map[string]struct {
		in            repository.Input
		width, height int
		target, input image.Point
	}{
		"an image keeps its size":                  {own, 333, 77, image.Pt(333, 77), image.Pt(333, 77)},
		"and is padded to multiples of the stride": {padded, 333, 77, image.Pt(333, 77), image.Pt(352, 96)},
		"a multiple is not padded":                 {padded, 64, 96, image.Pt(64, 96), image.Pt(64, 96)},
		"up to the definition's limits":            {limitedTo, 640, 480, image.Pt(640, 480), image.Pt(640, 480)},
		"then it is scaled down":                   {limitedTo, 1280, 480, image.Pt(640, 240), image.Pt(640, 240)},
		"by the side that exceeds its limit more":  {limitedTo, 1280, 1920, image.Pt(320, 480), image.Pt(320, 480)},
		"to a multiple of the stride":              {wide, 1200, 600, image.Pt(992, 496), image.Pt(992, 512)},
		"without limits to 4 megapixels":           {own, 8000, 6000, image.Pt(2364, 1773), image.Pt(2364, 1773)},
		"with a longer side of 8192 pixels":        {own, 100000, 10, image.Pt(8192, 1), image.Pt(8192, 1)},
		"a strip that would grow too long":         {fit, 5000, 5, image.Pt(8192, 8), image.Pt(8192, 8)},
		"a strip keeps a pixel":                    {strip, 4, 2000, image.Pt(1, 100), image.Pt(1, 100)},
	} {
		got := Resample(&c.in, Image{Width: c.width, Height: c.height, Shrink: 1})
		if got.Size != c.target || got.Input != c.input || got.Target != (image.Rectangle{Max: c.target}) {
			t.Errorf("%s: %+v", what, got)
		}
		if got.Transform.InputW != c.input.X || got.Transform.InputH != c.input.Y {
			t.Errorf("%s: %+v", what, got.Transform)
		}
	}
}

// TestOpenSizesStayWithinTheirLimits tries random images and definitions.
func TestOpenSizesStayWithinTheirLimits(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for range 20000 {
		in := repository.Input{Resize: []repository.Resize{repository.NoResize, repository.Fit, repository.Letterbox}[random.IntN(3)],
			Stride: random.IntN(3) * 16, Rounding: []string{repository.RoundFloor, repository.RoundNearest, repository.RoundCeil}[random.IntN(3)],
			Width: random.IntN(5) * 160, Height: random.IntN(5) * 160}
		switch in.Resize {
		case repository.Fit:
			in.ShortestEdge, in.LongestEdge = 1+random.IntN(1000), random.IntN(2)*1333
		case repository.Letterbox:
			in.Width, in.Height, in.Stride = max(in.Width, 160), max(in.Height, 160), max(in.Stride, 16)
		}
		img := Image{Width: 1 + random.IntN(1<<random.IntN(15)), Height: 1 + random.IntN(1<<random.IntN(15)), Shrink: 1}
		got := Resample(&in, img)
		w, h, pixels := in.Limits()
		stride := max(in.Stride, 1)
		switch {
		case got.Input.X > w || got.Input.Y > h || got.Size.X*got.Size.Y > pixels:
			t.Fatalf("%+v of %+v exceeds its limits: %+v", in, img, got)
		case got.Input.X%stride != 0 || got.Input.Y%stride != 0 || got.Input.X-got.Size.X >= stride || got.Input.Y-got.Size.Y >= stride:
			t.Fatalf("%+v of %+v is not the next multiple of the stride: %+v", in, img, got)
		case got.Target.Size() != got.Size || !got.Target.In(image.Rectangle{Max: got.Input}):
			t.Fatalf("%+v of %+v: %+v", in, img, got)
		}
	}
}
