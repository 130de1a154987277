package annotate

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"fovea/internal/palette"
)

func gray(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{99}), image.Point{}, draw.Src)
	return img
}

// changed is the smallest rectangle with all pixels that are not gray(…).
func changed(img *image.RGBA) (r image.Rectangle) {
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			if img.RGBAAt(x, y) != (color.RGBA{99, 99, 99, 255}) {
				r = r.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	return r
}

func TestBoxesAreDrawnWhereTheyAre(t *testing.T) {
	img := gray(1280, 960)
	got, err := Boxes(img, []Box{{300, 400, 700.4, 800.6, Label{Class: 7, Text: "dog", Score: 0.876}}})
	if err != nil {
		t.Fatal(err)
	}
	want := palette.Color(7)
	for _, p := range []image.Point{{300, 600}, {303, 600}, {699, 600}, {500, 800}, {500, 400}} {
		if got.RGBAAt(p.X, p.Y) != want {
			t.Errorf("%v is %v, not the border %v", p, got.RGBAAt(p.X, p.Y), want)
		}
	}
	for _, p := range []image.Point{{299, 600}, {305, 600}, {500, 790}, {700, 600}, {500, 801}} {
		if got.RGBAAt(p.X, p.Y) != (color.RGBA{99, 99, 99, 255}) {
			t.Errorf("%v is %v, outside the border", p, got.RGBAAt(p.X, p.Y))
		}
	}
	if changed(img) != (image.Rectangle{}) {
		t.Error("the original image has changed")
	}
	if r := changed(got); r.Min.Y >= 400-14 || r.Min.X != 300 || r.Max != image.Pt(700, 801) {
		t.Errorf("drawn in %v; there is no label above the box", r)
	}
}

func TestLabelsAreLegibleOnAnySize(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {8, 8}, {64, 48}, {639, 10}, {4000, 3000}, {30, 3000}} {
		img, err := Boxes(gray(size[0], size[1]), []Box{{0, 0, float64(size[0]), float64(size[1]), Label{Class: 1, Text: "zebra", Score: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		b := img.Rect
		long, factor := max(b.Dx(), b.Dy()), b.Dx()/size[0]
		if b.Dx() != factor*size[0] || b.Dy() != factor*size[1] || long < minSide && factor < maxFactor {
			t.Errorf("%v is drawn with %v pixels", size, b.Size())
		}
	}
}

func TestLabelsStayInTheImage(t *testing.T) {
	for name, box := range map[string]Box{
		"at the upper right corner": {1200, 0, 1280, 100, Label{Class: 3, Text: "a rather long label", Score: 0.5}},
		"at the lower left corner":  {0, 900, 10, 960, Label{Class: 3, Text: "x", Score: 0.5}},
		"beyond the image":          {-1e9, -5, 1e12, 2000, Label{Class: 3, Text: "x", Score: 0.5}},
		"turned over":               {500, 500, 100, 100, Label{Class: 3, Text: "x", Score: 0.5}},
		"not a number":              {math.NaN(), math.Inf(1), math.Inf(-1), math.NaN(), Label{Class: 3, Text: "", Score: 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := Boxes(gray(1280, 960), []Box{box})
			if err != nil {
				t.Fatal(err)
			}
			full := 0 // pixels of the text's background
			for y := range 960 {
				for x := range 1280 {
					if img.RGBAAt(x, y) == palette.Color(3) {
						full++
					}
				}
			}
			if full < 400 {
				t.Errorf("only %d pixels of the label are in the image", full)
			}
		})
	}
}

func TestLabelsThatTheFontLacks(t *testing.T) {
	c, err := newCanvas(gray(9, 9))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"": "class 5", "犬": "class 5", "Straßenbahn": "Straßenbahn", "собака": "собака"} {
		if got := c.text(Label{Class: 5, Text: text}); got != want {
			t.Errorf("%q is drawn as %q, want %q", text, got, want)
		}
	}
}

func TestClasses(t *testing.T) {
	labels := make([]Label, 1000)
	for i := range labels {
		labels[i] = Label{Class: i, Text: fmt.Sprint("class ", i), Score: 0.5}
	}
	img, err := Classes(gray(800, 600), labels[:2])
	if err != nil {
		t.Fatal(err)
	}
	if r := changed(img); r.Min != (image.Point{}) || r.Max.Y < 2*minText || r.Max.Y > 100 || r.Max.X > 400 {
		t.Errorf("two labels are in %v", r)
	}
	if _, err := Classes(gray(800, 600), labels); err != nil {
		t.Error(err)
	}
	if _, err := Classes(image.NewRGBA(image.Rectangle{}), nil); err == nil {
		t.Error("an empty image is no error")
	}
}

func TestColorsDiffer(t *testing.T) {
	for class := range 80 {
		for other := range class {
			if palette.Color(class) == palette.Color(other) {
				t.Errorf("classes %d and %d have the same color", class, other)
			}
		}
	}
	if contrast(palette.Color(0)) != color.White || contrast(color.RGBA{255, 255, 0, 255}) != color.Black {
		t.Error("text does not stand out")
	}
}
