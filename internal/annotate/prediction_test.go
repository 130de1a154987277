package annotate

import (
	"image"
	"image/color"
	"testing"

	"fovea/internal/palette"
	"fovea/postprocess"
)

// TestPredictionsAreDrawnWhereTheyAre looks at one pixel that is drawn on and one that is not, of images of 640 pixels.
func TestPredictionsAreDrawnWhereTheyAre(t *testing.T) {
	box := postprocess.Box{Class: 2, Label: "cat", Score: 0.5, X1: 200, Y1: 200, X2: 400, Y2: 400}
	runs := []uint32{300*640 + 250, 100, 640*640 - 300*640 - 350} // column 300, from 250 to 350
	visible, hidden := 0.9, 0.1
	values := make([]float32, 16)
	values[15] = 1
	for what, c := range map[string]struct {
		p         postprocess.Prediction
		on, off   image.Point
		want      color.RGBA
		onlyOther bool // the pixel has another color than before
	}{
		"a rotated box": {p: &postprocess.Oriented{Boxes: []postprocess.OrientedBox{{Box: box, Corners: [4][2]float64{{300, 150}, {450, 300}, {300, 450}, {150, 300}}}}},
			on: image.Pt(375, 375), off: image.Pt(300, 300), want: palette.Color(2)},
		"a line of text": {p: &postprocess.TextLines{Lines: []postprocess.TextLine{{Score: 0.5, Corners: [4][2]float64{{150, 300}, {300, 150}, {450, 300}, {300, 450}}}}},
			on: image.Pt(375, 375), off: image.Pt(300, 300), want: palette.Color(0)},
		"text": {p: &postprocess.Recognized{Text: "犬", Score: 0.5}, on: image.Pt(1, 1), off: image.Pt(300, 300), want: palette.Color(0)},
		"a mask": {p: &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: &postprocess.Mask{Width: 640, Height: 640, Runs: runs}}}},
			on: image.Pt(300, 300), off: image.Pt(302, 300), onlyOther: true},
		"a point and a bone": {p: &postprocess.Posed{Boxes: []postprocess.PosedBox{{Box: box, Keypoints: []postprocess.Keypoint{{X: 250, Y: 250, Visibility: &visible}, {X: 350, Y: 350, Visibility: &visible}}}}, Skeleton: [][]int{{0, 1}}},
			on: image.Pt(300, 300), off: image.Pt(320, 300), want: palette.Color(0)},
		"a point that is not seen": {p: &postprocess.Posed{Boxes: []postprocess.PosedBox{{Box: box, Keypoints: []postprocess.Keypoint{{X: 300, Y: 300, Visibility: &hidden}}}}},
			on: image.Pt(200, 300), off: image.Pt(300, 300), want: palette.Color(2)},
		"a map of numbers": {p: &postprocess.DepthMap{Depth: &postprocess.Map{Width: 4, Height: 4, Values: values}}, on: image.Pt(600, 600), off: image.Point{}, want: heat[len(heat)-1]},
		"an image":         {p: &postprocess.Rendered{Image: filled(9, 9, color.NRGBA{1, 2, 3, 255})}, on: image.Pt(5, 5), want: color.RGBA{1, 2, 3, 255}},
	} {
		drawn, err := Prediction(gray(640, 640), 1, c.p)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		before := color.RGBA{99, 99, 99, 255}
		got := drawn.RGBAAt(c.on.X, c.on.Y)
		if c.onlyOther && got == before || !c.onlyOther && got != c.want {
			t.Errorf("%s: %v is %v, want %v", what, c.on, got, c.want)
		}
		if c.off != (image.Point{}) && drawn.RGBAAt(c.off.X, c.off.Y) != before {
			t.Errorf("%s: %v is %v", what, c.off, drawn.RGBAAt(c.off.X, c.off.Y))
		}
	}
}

func filled(w, h int, in color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, in)
		}
	}
	return img
}

// TestScaledPredictions are of an image twice as large as the one that is drawn on.
func TestScaledPredictions(t *testing.T) {
	p := &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: postprocess.Box{X1: 400, Y1: 400, X2: 800, Y2: 800},
		Mask: &postprocess.Mask{Width: 1280, Height: 1280, Runs: []uint32{600*1280 + 500, 200, 1280 - 200, 200, 1280*1280 - 601*1280 - 700}}}}}
	drawn, err := Prediction(gray(640, 640), 0.5, p)
	if err != nil {
		t.Fatal(err)
	}
	if before := (color.RGBA{99, 99, 99, 255}); drawn.RGBAAt(300, 300) == before || drawn.RGBAAt(310, 300) != before || drawn.RGBAAt(200, 300) == before {
		t.Errorf("the mask is %v, next to it %v, the border %v", drawn.RGBAAt(300, 300), drawn.RGBAAt(310, 300), drawn.RGBAAt(200, 300))
	}
}

// TestLinesFarOutsideEnd: corners of rotated boxes may lie anywhere.
func TestLinesFarOutsideEnd(t *testing.T) {
	p := &postprocess.Oriented{Boxes: []postprocess.OrientedBox{{Corners: [4][2]float64{{-1e12, 300}, {1e12, 300}, {1e12, 1e12}, {-1e12, 1e12}}}}}
	drawn, err := Prediction(gray(640, 640), 1, p)
	if err != nil || drawn.RGBAAt(320, 300) != palette.Color(0) {
		t.Errorf("%v, %v", drawn.RGBAAt(320, 300), err)
	}
}
