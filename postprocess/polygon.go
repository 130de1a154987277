package postprocess

import (
	"image"
	"math"
)

// maxDeviation is how far, in pixels, an outline may lie from the border of its mask: so that steps of a slanted border disappear.
const maxDeviation = 0.75

// smallest is the side of a square, divided by maxDeviation, that outlines may lie so far from. Those of smaller parts are more exact.
const smallest = 24

// Polygons returns the outlines of the mask's parts, each as x, y, x, y, … in pixels of the image, clockwise on the screen. Pixels that
// touch at a corner belong together. Holes are filled. They follow the borders of the pixels, simplified within less than a pixel.
func (m *Mask) Polygons() [][]float64 {
	r := m.Bounds()
	list := [][]float64{}
	if r.Empty() {
		return list
	}
	t := newTracer(m.Bitmap(r), r.Dx(), r.Dy())
	for at, bit := range t.bits {
		if bit == 0 || t.seen[at] || t.inside(at%t.w-1, at/t.w) {
			continue
		}
		if outline, area := t.trace(at%t.w, at/t.w); area > 0 { // else of a hole
			list = append(list, flatten(simplify(outline, min(maxDeviation, math.Sqrt(float64(area))/smallest)), r.Min))
		}
	}
	return list
}

// tracer walks along the borders of pixels, with the mask on its right.
type tracer struct {
	bits []byte
	seen []bool // the left border of the pixel is walked along
	w, h int
}

func newTracer(bits []byte, w, h int) *tracer { return &tracer{bits, make([]bool, len(bits)), w, h} }

func (t *tracer) inside(x, y int) bool {
	return x >= 0 && y >= 0 && x < t.w && y < t.h && t.bits[y*t.w+x] != 0
}

// The directions of a walk, clockwise.
const (
	east = iota
	south
	west
	north
	directions
)

var steps = [directions]image.Point{east: {X: 1}, south: {Y: 1}, west: {X: -1}, north: {Y: -1}}

// ahead are the pixels on the left and on the right in front of a corner, as offsets from it.
var ahead = [directions][2]image.Point{
	east: {{X: 0, Y: -1}, {X: 0, Y: 0}}, south: {{X: 0, Y: 0}, {X: -1, Y: 0}},
	west: {{X: -1, Y: 0}, {X: -1, Y: -1}}, north: {{X: -1, Y: -1}, {X: 0, Y: -1}}}

// trace walks from the lower left corner of a pixel along its left border and back, and returns the corners at which it turns, and the area
// within, which is negative for the border of a hole.
func (t *tracer) trace(x, y int) (outline []image.Point, area int) {
	start := image.Pt(x, y+1)
	at, direction := start, north
	for {
		if direction == north {
			t.seen[(at.Y-1)*t.w+at.X] = true
		}
		next := at.Add(steps[direction])
		area += at.X*next.Y - next.X*at.Y
		at = next
		turned := direction
		switch left, right := at.Add(ahead[direction][0]), at.Add(ahead[direction][1]); {
		case t.inside(left.X, left.Y):
			turned = (direction + directions - 1) % directions
		case !t.inside(right.X, right.Y):
			turned = (direction + 1) % directions
		}
		if turned != direction {
			outline = append(outline, at)
		}
		direction = turned
		if at == start && direction == north {
			return outline, area / 2
		}
	}
}

// simplify drops corners of a closed outline that lie near the line between others (Douglas and Peucker, 1973), between the first corner and
// the one farthest from it.
func simplify(outline []image.Point, deviation float64) []image.Point {
	far, most := 0, 0
	for i, p := range outline {
		d := p.Sub(outline[0])
		if length := d.X*d.X + d.Y*d.Y; length > most {
			far, most = i, length
		}
	}
	keep := make([]bool, len(outline)+1)
	keep[0], keep[far], keep[len(outline)] = true, true, true
	closed := append(outline, outline[0])
	between := [][2]int{{0, far}, {far, len(outline)}}
	for len(between) > 0 {
		from, to := between[len(between)-1][0], between[len(between)-1][1]
		between = between[:len(between)-1]
		at, distance := 0, deviation
		for i := from + 1; i < to; i++ {
			if d := fromLine(closed[i], closed[from], closed[to]); d > distance {
				at, distance = i, d
			}
		}
		if at > 0 {
			keep[at] = true
			between = append(between, [2]int{from, at}, [2]int{at, to})
		}
	}
	kept := outline[:0]
	for i, p := range closed[:len(outline)] {
		if keep[i] {
			kept = append(kept, p)
		}
	}
	return kept
}

// fromLine is the distance of a point from the line through two others, or from these if they are the same.
func fromLine(p, a, b image.Point) float64 {
	ab, ap := b.Sub(a), p.Sub(a)
	length := math.Hypot(float64(ab.X), float64(ab.Y))
	if length == 0 {
		return math.Hypot(float64(ap.X), float64(ap.Y))
	}
	return math.Abs(float64(ab.X*ap.Y-ab.Y*ap.X)) / length
}

func flatten(outline []image.Point, offset image.Point) []float64 {
	list := make([]float64, 0, 2*len(outline))
	for _, p := range outline {
		list = append(list, float64(p.X+offset.X), float64(p.Y+offset.Y))
	}
	return list
}
