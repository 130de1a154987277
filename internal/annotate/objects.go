package annotate

import (
	"image"
	"image/color"
	"math"

	"fovea/internal/palette"
	"fovea/postprocess"
)

// quadrilaterals draws the outlines of rotated boxes or of lines of text.
func quadrilaterals(img image.Image, scale float64, p postprocess.Quadrilaterals) (*image.RGBA, error) {
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	for i := p.Len() - 1; i >= 0; i-- {
		corners, in := p.Quadrilateral(i), palette.Color(p.Box(i).Class)
		for k, from := range corners {
			to := corners[(k+1)%len(corners)]
			c.segment(scale*from[0], scale*from[1], scale*to[0], scale*to[1], in)
		}
	}
	c.tags(boxesOf(scale, p))
	return c.img, c.face.Close()
}

// segmented tints the pixels of masks, and draws the boxes.
func segmented(img image.Image, scale float64, p *postprocess.Segmented) (*image.RGBA, error) {
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	boxes := boxesOf(scale, p)
	for i := len(boxes) - 1; i >= 0; i-- {
		in, per := palette.Color(boxes[i].Class), scale*float64(c.factor)
		p.Boxes[i].Mask.Each(func(x, top, bottom int) {
			at := func(v int) int { return int(math.Round(float64(v) * per)) }
			c.tint(image.Rect(at(x), at(top), at(x+1), at(bottom)), in)
		})
		c.outline(c.rect(boxes[i]), in)
	}
	c.tags(boxes)
	return c.img, c.face.Close()
}

// minVisibility is that of points which are drawn.
const minVisibility = 0.5

// posed draws boxes, points and the lines between them.
func posed(img image.Image, scale float64, p *postprocess.Posed) (*image.RGBA, error) {
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	boxes := boxesOf(scale, p)
	for i := len(boxes) - 1; i >= 0; i-- {
		points := p.Boxes[i].Keypoints
		seen := func(k postprocess.Keypoint) bool { return k.Visibility == nil || *k.Visibility >= minVisibility }
		c.outline(c.rect(boxes[i]), palette.Color(boxes[i].Class))
		for j, bone := range p.Skeleton {
			if a, b := points[bone[0]], points[bone[1]]; seen(a) && seen(b) {
				c.segment(scale*a.X, scale*a.Y, scale*b.X, scale*b.Y, palette.Color(j))
			}
		}
		for j, k := range points {
			if seen(k) {
				c.dot(scale*k.X, scale*k.Y, palette.Color(j))
			}
		}
	}
	c.tags(boxes)
	return c.img, c.face.Close()
}

// tags draws the labels of boxes above them.
func (c *canvas) tags(boxes []Box) {
	for i := len(boxes) - 1; i >= 0; i-- {
		r := c.rect(boxes[i])
		c.tag(image.Pt(r.Min.X, r.Min.Y-c.height), boxes[i].Label)
	}
}

// tint mixes a color into a rectangle, in equal parts.
func (c *canvas) tint(r image.Rectangle, in color.RGBA) {
	r = r.Intersect(c.img.Rect)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := c.img.Pix[c.img.PixOffset(r.Min.X, y):c.img.PixOffset(r.Max.X, y)]
		for i := 0; i+3 < len(row); i += 4 {
			row[i], row[i+1], row[i+2] = mix(row[i], in.R), mix(row[i+1], in.G), mix(row[i+2], in.B)
		}
	}
}

func mix(a, b uint8) uint8 { return uint8((int(a) + int(b)) / 2) }

// segment draws a line between two points of the image, as far as it lies in it.
func (c *canvas) segment(x1, y1, x2, y2 float64, in color.RGBA) {
	f := float64(c.factor)
	x1, y1, x2, y2 = x1*f, y1*f, x2*f, y2*f
	var ok bool
	if x1, y1, x2, y2, ok = c.within(x1, y1, x2, y2); !ok {
		return
	}
	steps := int(math.Ceil(max(math.Abs(x2-x1), math.Abs(y2-y1))))
	for i := range steps + 1 {
		part := 0.0
		if steps > 0 {
			part = float64(i) / float64(steps)
		}
		c.disc(x1+part*(x2-x1), y1+part*(y2-y1), float64(c.line)/2, in)
	}
}

// within cuts a line to the image (Liang and Barsky, 1984).
func (c *canvas) within(x1, y1, x2, y2 float64) (fromX, fromY, toX, toY float64, ok bool) {
	low, high := 0.0, 1.0
	w, h := float64(c.img.Rect.Dx()), float64(c.img.Rect.Dy())
	for _, side := range [4][2]float64{{x1 - x2, x1}, {x2 - x1, w - x1}, {y1 - y2, y1}, {y2 - y1, h - y1}} {
		toward, distance := side[0], side[1]
		switch {
		case toward == 0 && distance < 0:
			return 0, 0, 0, 0, false
		case toward < 0:
			low = max(low, distance/toward)
		case toward > 0:
			high = min(high, distance/toward)
		}
	}
	if !(low <= high) {
		return 0, 0, 0, 0, false
	}
	return x1 + low*(x2-x1), y1 + low*(y2-y1), x1 + high*(x2-x1), y1 + high*(y2-y1), true
}

// dot draws a point of the image.
func (c *canvas) dot(x, y float64, in color.RGBA) {
	c.disc(x*float64(c.factor), y*float64(c.factor), 1.5*float64(c.line), in)
}

// disc fills the pixels around a point of the canvas, at least one.
func (c *canvas) disc(x, y, radius float64, in color.RGBA) {
	for py := int(math.Floor(y - radius)); py <= int(math.Floor(y+radius)); py++ {
		for px := int(math.Floor(x - radius)); px <= int(math.Floor(x+radius)); px++ {
			if math.Hypot(float64(px)+0.5-x, float64(py)+0.5-y) <= max(radius, 0.8) && image.Pt(px, py).In(c.img.Rect) {
				c.img.SetRGBA(px, py, in)
			}
		}
	}
}
