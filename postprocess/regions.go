package postprocess

import (
	"math"
	"slices"
)

// span32 is a part of a line of a map, both ends included.
type span32 struct{ from, to int32 }

// meanOfQuad is the mean of a map within a quadrilateral, borders included: box_score_fast of PaddleOCR's
// ppocr/postprocess/db_postprocess.py, which truncates the corners and fills between them with cv2.fillPoly.
func (m *probabilityMap) meanOfQuad(spans *[]span32, quad [4]vertex) float64 {
	low, high := quad[0], quad[0]
	for _, p := range quad {
		low, high = vertex{min(low.x, p.x), min(low.y, p.y)}, vertex{max(high.x, p.x), max(high.y, p.y)}
	}
	left, top := m.column(math.Floor(low.x)), m.line(math.Floor(low.y))
	bottom := m.line(math.Ceil(high.y))
	*spans = slices.Grow((*spans)[:0], int(bottom-top)+1)[:bottom-top+1]
	for i := range *spans {
		(*spans)[i] = span32{math.MaxInt32, math.MinInt32}
	}
	var corners [4]pixel
	for i, p := range quad {
		corners[i] = pixel{int32(p.x-float64(left)) + left, int32(p.y-float64(top)) + top}
	}
	for i, c := range corners {
		mark := func(x, y int32) {
			if y >= top && y <= bottom {
				s := &(*spans)[y-top]
				s.from, s.to = min(s.from, x), max(s.to, x)
			}
		}
		drawLine(c, corners[(i+1)%4], mark)
		scanEdge(c, corners[(i+1)%4], mark)
	}
	right := m.column(math.Ceil(high.x))
	sum, n := 0.0, 0
	for i, s := range *spans {
		from, to := max(s.from, left), min(s.to, right)
		if from > to {
			continue
		}
		row := (int(top) + i) * m.width
		for _, v := range m.values[row+int(from) : row+int(to)+1] {
			sum += float64(v)
		}
		n += int(to-from) + 1
	}
	return sum / float64(max(n, 1))
}

func (m *probabilityMap) column(x float64) int32 { return int32(max(0, min(x, float64(m.width-1)))) }

func (m *probabilityMap) line(y float64) int32 { return int32(max(0, min(y, float64(m.height-1)))) }

// drawLine visits the pixels of a line between two from left to right, as cv2.LineIterator with eight neighbors does.
func drawLine(a, b pixel, visit func(x, y int32)) {
	if b.x < a.x {
		a, b = b, a
	}
	dx, dy := b.x-a.x, b.y-a.y
	stepX, stepY := int32(1), int32(1)
	if dy < 0 {
		dy, stepY = -dy, -1
	}
	steep := dy > dx
	if steep {
		dx, dy = dy, dx
	}
	rest := dx - 2*dy
	for range dx + 1 {
		visit(a.x, a.y)
		aside := rest < 0
		if aside {
			rest += 2 * dx
		}
		rest -= 2 * dy
		if aside || !steep {
			a.x += stepX
		}
		if aside || steep {
			a.y += stepY
		}
	}
}

// scanEdge visits the pixel of an edge in each line but the last, with the precision and the rounding of cv2.fillPoly, which fills between
// these besides drawing the edges.
func scanEdge(a, b pixel, visit func(x, y int32)) {
	if b.y < a.y {
		a, b = b, a
	}
	if a.y == b.y {
		return
	}
	const shift = 16
	x, step := int64(a.x)<<shift+1<<(shift-1), int64(b.x-a.x)<<shift/int64(b.y-a.y)
	for y := a.y; y < b.y; y++ {
		visit(int32(x>>shift), y)
		x += step
	}
}

// meanWithin is the mean of a map within an outline, borders included: box_score_slow, which fills with the rule of even and odd.
func (m *probabilityMap) meanWithin(mem *scratch, outline []pixel) float64 {
	low, high := outline[0], outline[0]
	for _, p := range outline {
		low, high = pixel{min(low.x, p.x), min(low.y, p.y)}, pixel{max(high.x, p.x), max(high.y, p.y)}
	}
	w, h := int(high.x-low.x)+1, int(high.y-low.y)+1
	// Each pixel of the mask is on the border (1), or turns the inside on or off for what is to the right of it (2).
	mem.pixels = slices.Grow(mem.pixels[:0], w*h)[:w*h]
	clear(mem.pixels)
	at := func(x, y int32) *byte { return &mem.pixels[int(y-low.y)*w+int(x-low.x)] }
	for i, a := range outline {
		b := outline[(i+1)%len(outline)]
		drawLine(a, b, func(x, y int32) {
			*at(x, y) |= 1
			if a.y != b.y && y != max(a.y, b.y) {
				*at(x, y) ^= 2
			}
		})
	}
	sum, n := 0.0, 0
	for y := range h {
		inside := byte(0)
		row := m.values[(int(low.y)+y)*m.width+int(low.x):]
		for x, bits := range mem.pixels[y*w : (y+1)*w] {
			inside ^= bits & 2
			if bits|inside != 0 {
				sum += float64(row[x])
				n++
			}
		}
	}
	return sum / float64(n)
}
