package annotate

import (
	"image"
	"image/color"

	"fovea/internal/palette"
	"fovea/postprocess"
)

// classMap tints each pixel in the color of its class, and lists the classes.
func classMap(img image.Image, p *postprocess.ClassMap) (*image.RGBA, error) {
	pixels, err := p.Pixels()
	if err != nil {
		return nil, err
	}
	c, err := newCanvas(img)
	if err != nil {
		return nil, err
	}
	var colors [256]color.RGBA // of all that a byte can be
	for class := range colors {
		colors[class] = palette.Color(class)
	}
	labels := make([]Label, len(p.Classes))
	for i, class := range p.Classes {
		labels[i] = Label{Class: class.Class, Text: class.Label, Score: class.Share}
	}
	w, h := c.img.Rect.Dx(), c.img.Rect.Dy()
	for y := range h {
		line := pixels[y*p.MapHeight/h*p.MapWidth:]
		for x := range w {
			in, at := colors[line[x*p.MapWidth/w]], c.img.PixOffset(x, y)
			pix := c.img.Pix[at : at+3]
			pix[0], pix[1], pix[2] = mix(pix[0], in.R), mix(pix[1], in.G), mix(pix[2], in.B)
		}
	}
	c.list(labels)
	return c.img, c.face.Close()
}

// anomaly lays the map over the image, and says the score.
func anomaly(img image.Image, p *postprocess.AnomalyMap) (*image.RGBA, error) {
	verdict := Label{Text: "normal", Score: p.Score}
	if p.Anomalous {
		verdict = Label{Text: "anomalous", Score: p.Score}
	}
	return Classes(overlay(img, p.Map, 0.5), []Label{verdict})
}

// heat are colors from low to high, those of matplotlib's map inferno at even distances.
var heat = []color.RGBA{{0, 0, 4, 255}, {66, 10, 104, 255}, {147, 38, 103, 255}, {221, 81, 58, 255}, {252, 165, 10, 255}, {252, 255, 164, 255}}

// overlay colors an image by a map over it: share is the map's part of each pixel.
func overlay(img image.Image, m *postprocess.Map, share float64) *image.RGBA {
	b := img.Bounds()
	to := enlarged(img, 1)
	low, high := m.Range()
	scale := 0.0
	if high > low {
		scale = float64(len(heat)-1) / (high - low)
	}
	for y := range b.Dy() {
		line := m.Values[y*m.Height/b.Dy()*m.Width:]
		for x := range b.Dx() {
			v := (float64(line[x*m.Width/b.Dx()]) - low) * scale
			i := min(int(v), len(heat)-2)
			part := v - float64(i)
			from, next := heat[i], heat[i+1]
			pix := to.Pix[to.PixOffset(x, y):][:3]
			for k, c := range [3][2]uint8{{from.R, next.R}, {from.G, next.G}, {from.B, next.B}} {
				in := float64(c[0]) + part*(float64(c[1])-float64(c[0]))
				pix[k] = uint8(share*in + (1-share)*float64(pix[k]))
			}
		}
	}
	return to
}
