package postprocess

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
)

// Mask is a set of pixels of an image.
type Mask struct {
	// Width and Height are those of the image.
	Width, Height int
	// Runs are lengths of runs of pixels in the order of columns, from top to bottom: of pixels that do not belong to the mask and that
	// do, in turn, the first of which may be 0. They add up to Width × Height.
	Runs []uint32
	// Encoding is how the mask is written as JSON: EncodingRLE (also empty), EncodingPolygon or EncodingPNG.
	Encoding string
}

// Area returns the number of pixels of the mask.
func (m *Mask) Area() (n int) {
	for i := 1; i < len(m.Runs); i += 2 {
		n += int(m.Runs[i])
	}
	return n
}

// Each calls do for each run of pixels of the mask in a column, from top to (excluding) bottom.
func (m *Mask) Each(do func(x, top, bottom int)) {
	at := 0
	for i, run := range m.Runs {
		end := at + int(run)
		for i%2 == 1 && at < end { // a run may continue in the next column
			x, top := at/m.Height, at%m.Height
			n := min(end-at, m.Height-top)
			do(x, top, top+n)
			at += n
		}
		at = end
	}
}

// Bounds returns the smallest rectangle around the mask; an empty one without pixels.
func (m *Mask) Bounds() (r image.Rectangle) {
	first := true
	m.Each(func(x, top, bottom int) {
		column := image.Rect(x, top, x+1, bottom)
		if first {
			r, first = column, false
			return
		}
		r = r.Union(column)
	})
	return r
}

// RLE returns the runs as COCO's compressed counts: each is the difference to the one before the last, from the fourth on, in groups
// of five bits from the lowest, of which the sixth bit says that more follow, as characters from '0' (rleToString in maskApi.c of
// cocoapi).
func (m *Mask) RLE() string {
	out := make([]byte, 0, 2*len(m.Runs))
	for i, run := range m.Runs {
		v := int64(run)
		if i > 2 {
			v -= int64(m.Runs[i-2])
		}
		for more := true; more; {
			c := byte(v & 0x1f)
			v >>= 5
			if c&0x10 != 0 {
				more = v != -1
			} else {
				more = v != 0
			}
			if more {
				c |= 0x20
			}
			out = append(out, c+'0')
		}
	}
	return string(out)
}

// Bitmap returns the mask within a rectangle, in lines of bytes that are 0 or 1.
func (m *Mask) Bitmap(r image.Rectangle) []byte {
	bits, w := make([]byte, r.Dx()*r.Dy()), r.Dx()
	m.Each(func(x, top, bottom int) {
		if x < r.Min.X || x >= r.Max.X {
			return
		}
		for y := max(top, r.Min.Y); y < min(bottom, r.Max.Y); y++ {
			bits[(y-r.Min.Y)*w+x-r.Min.X] = 1
		}
	})
	return bits
}

// PNG returns the part of the mask within its bounds as an image of two colors, white being the mask.
func (m *Mask) PNG() []byte {
	r := m.Bounds()
	if r.Empty() {
		r = image.Rect(0, 0, 1, 1)
	}
	bits := &image.Paletted{Pix: m.Bitmap(r), Stride: r.Dx(), Rect: image.Rect(0, 0, r.Dx(), r.Dy()), Palette: color.Palette{color.Black, color.White}}
	return encodePNG(bits)
}

// encodePNG favors speed over size: of maps with large areas the fastest compression is small as well.
func encodePNG(img image.Image) []byte {
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := encoder.Encode(&b, img); err != nil {
		panic(err) // only an image without pixels, or larger than 2³² of them, is an error
	}
	return b.Bytes()
}

// MarshalJSON writes {"size":[height,width],"counts":"…"}; {"polygon":[[x,y,x,y,…],…]}; or {"x":…,"y":…,"png":"…"}, in base64, with the
// place of the image's upper left pixel.
func (m *Mask) MarshalJSON() ([]byte, error) {
	switch m.Encoding {
	case EncodingPolygon:
		return json.Marshal(struct {
			Polygon [][]float64 `json:"polygon"`
		}{m.Polygons()})
	case EncodingPNG:
		at := m.Bounds().Min
		return json.Marshal(struct {
			X   int    `json:"x"`
			Y   int    `json:"y"`
			PNG []byte `json:"png"`
		}{at.X, at.Y, m.PNG()})
	}
	return json.Marshal(struct {
		Size   [2]int `json:"size"`
		Counts string `json:"counts"`
	}{[2]int{m.Height, m.Width}, m.RLE()})
}
