// Package annotate draws predictions on images, for people to look at: boxes with their labels, or the classes of an image. It
// is pure Go.
package annotate

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"

	"fovea/internal/palette"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// Box is an object with corners in pixels of the image.
type Box struct {
	X1, Y1, X2, Y2 float64
	Label
}

// Label is a class with its score.
type Label struct {
	Class int
	Text  string // empty: the class's number is drawn
	Score float64
	// Other is drawn instead of the class's number where Text is empty or cannot be drawn.
	Other string
}

// Sizes in pixels, or as a part of the image's longer side.
const (
	minSide   = 640 // smaller images are enlarged by a whole factor, so that text is legible
	maxFactor = 32
	textShare = 1.0 / 45
	minText   = 14
	lineShare = 1.0 / 320
	minLine   = 2
)

// Boxes returns a copy of an image with boxes and their labels, the first on top. Images whose sides are below 640 pixels are enlarged.
func Boxes(img image.Image, boxes []Box) (*image.RGBA, error) {
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	for i := len(boxes) - 1; i >= 0; i-- {
		c.outline(c.rect(boxes[i]), palette.Color(boxes[i].Class))
	}
	c.tags(boxes)
	return c.img, c.face.Close()
}

// Classes returns a copy of an image with labels in its upper left corner. Images whose sides are below 640 pixels are enlarged.
func Classes(img image.Image, labels []Label) (*image.RGBA, error) {
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	c.list(labels)
	return c.img, c.face.Close()
}

// list draws labels below each other, those for which there is room.
func (c *canvas) list(labels []Label) {
	for i, l := range labels {
		if y := i * c.height; y+c.height <= c.img.Rect.Dy() {
			c.tag(image.Pt(0, y), l)
		}
	}
}

// canvas is an image that is drawn on.
type canvas struct {
	img    *image.RGBA
	factor int // by which it was enlarged
	line   int // width of a line
	font   *sfnt.Font
	face   font.Face
	height int // of a line of text with its margin
	ascent int
	margin int
}

func newCanvas(img image.Image) (*canvas, error) {
	c := &canvas{factor: 1}
	b := img.Bounds()
	if b.Empty() {
		return nil, fmt.Errorf("the image has %d × %d pixels", b.Dx(), b.Dy())
	}
	long := max(b.Dx(), b.Dy())
	if long < minSide {
		c.factor = min((minSide+long-1)/long, maxFactor)
	}
	c.img = enlarged(img, c.factor)
	long *= c.factor
	c.line = max(minLine, int(math.Round(float64(long)*lineShare)))
	var err error
	if c.font, err = opentype.Parse(goregular.TTF); err != nil {
		return nil, err
	}
	c.face, err = opentype.NewFace(c.font, &opentype.FaceOptions{Size: max(minText, float64(long)*textShare), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	m := c.face.Metrics()
	c.margin = c.line
	c.ascent = m.Ascent.Ceil()
	c.height = c.ascent + m.Descent.Ceil() + 2*c.margin
	return c, nil
}

// enlarged returns a copy with each pixel factor times as wide and high.
func enlarged(img image.Image, factor int) *image.RGBA {
	b := img.Bounds()
	to := image.NewRGBA(image.Rect(0, 0, b.Dx()*factor, b.Dy()*factor))
	if factor == 1 {
		draw.Draw(to, to.Rect, img, b.Min, draw.Src)
		return to
	}
	for y := range to.Rect.Dy() {
		for x := range to.Rect.Dx() {
			to.Set(x, y, img.At(b.Min.X+x/factor, b.Min.Y+y/factor))
		}
	}
	return to
}

// rect is where a box is drawn, within the image.
func (c *canvas) rect(b Box) image.Rectangle {
	at := func(v float64, limit int) int {
		if v *= float64(c.factor); !(v > 0) {
			return 0
		}
		return int(math.Round(min(v, float64(limit))))
	}
	w, h := c.img.Rect.Dx(), c.img.Rect.Dy()
	return image.Rect(at(b.X1, w), at(b.Y1, h), at(b.X2, w), at(b.Y2, h))
}

// outline draws the border of a rectangle, inside it.
func (c *canvas) outline(r image.Rectangle, in color.Color) {
	paint := image.NewUniform(in)
	for _, side := range []image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+c.line), image.Rect(r.Min.X, r.Max.Y-c.line, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, r.Min.Y, r.Min.X+c.line, r.Max.Y), image.Rect(r.Max.X-c.line, r.Min.Y, r.Max.X, r.Max.Y),
	} {
		draw.Draw(c.img, side.Intersect(c.img.Rect), paint, image.Point{}, draw.Src)
	}
}

// tag draws a label at a point, or as near as it fits into the image.
func (c *canvas) tag(at image.Point, l Label) {
	text := fmt.Sprintf("%s %.2f", c.text(l), l.Score)
	width := font.MeasureString(c.face, text).Ceil() + 2*c.margin
	at.X = max(0, min(at.X, c.img.Rect.Dx()-width))
	at.Y = max(0, min(at.Y, c.img.Rect.Dy()-c.height))
	in := palette.Color(l.Class)
	draw.Draw(c.img, image.Rect(at.X, at.Y, at.X+width, at.Y+c.height).Intersect(c.img.Rect), image.NewUniform(in), image.Point{}, draw.Src)
	drawer := font.Drawer{Dst: c.img, Src: image.NewUniform(contrast(in)), Face: c.face,
		Dot: fixed.P(at.X+c.margin, at.Y+c.margin+c.ascent)}
	drawer.DrawString(text)
}

// text is the label, or the class's number where the label is missing or has characters that the font lacks.
func (c *canvas) text(l Label) string {
	number := cmp.Or(l.Other, fmt.Sprintf("class %d", l.Class))
	if l.Text == "" {
		return number
	}
	var buffer sfnt.Buffer
	for _, r := range l.Text {
		if i, err := c.font.GlyphIndex(&buffer, r); err != nil || i == 0 {
			return number
		}
	}
	return l.Text
}

// contrast returns black or white, whichever is easier to read on a color: by its luma of ITU-R BT.601.
func contrast(c color.RGBA) color.Color {
	if 299*int(c.R)+587*int(c.G)+114*int(c.B) > 127*1000 {
		return color.Black
	}
	return color.White
}
