package postprocess

import (
	"cmp"
	"math"
	"slices"
)

// pixel is a point of a map with whole coordinates, at its center.
type pixel struct{ x, y int32 }

// vertex is a point of a map or an image.
type vertex struct{ x, y float64 }

func (p vertex) distance(q vertex) float64 { return math.Hypot(p.x-q.x, p.y-q.y) }

// hull is the reusable memory of a convex hull.
type hull struct{ sorted, corners []pixel }

// of returns the corners of the convex hull of points, in one direction, without points on its sides (Andrew's monotone chain).
func (h *hull) of(points []pixel) []pixel {
	h.sorted = append(h.sorted[:0], points...)
	slices.SortFunc(h.sorted, func(a, b pixel) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y)) })
	h.sorted = slices.Compact(h.sorted)
	h.corners = h.corners[:0]
	if len(h.sorted) < 3 {
		return append(h.corners, h.sorted...)
	}
	half := func(points func(yield func(int, pixel) bool)) {
		from := len(h.corners)
		for _, p := range points {
			for n := len(h.corners); n >= from+2 && cross(h.corners[n-2], h.corners[n-1], p) <= 0; n = len(h.corners) {
				h.corners = h.corners[:n-1]
			}
			h.corners = append(h.corners, p)
		}
		h.corners = h.corners[:len(h.corners)-1] // the first of the other half
	}
	half(slices.All(h.sorted))
	half(slices.Backward(h.sorted))
	return h.corners
}

// cross is twice the area of a triangle, negative if it turns the other way.
func cross(a, b, c pixel) int64 {
	return int64(b.x-a.x)*int64(c.y-a.y) - int64(b.y-a.y)*int64(c.x-a.x)
}

// minAreaRect returns the corners of the smallest rectangle around points, in the order of clockwise, and its shorter side. Points on a line
// have a shorter side of 0. One of its sides lies on a side of the convex hull, which calipers find (Toussaint, 1983). They are turned, and
// numbers rounded to float32, in the order of OpenCV's cv2.minAreaRect and cv2.boxPoints (modules/imgproc/src/rotcalipers.cpp), since what
// follows truncates the corners to whole numbers.
func (h *hull) minAreaRect(points []pixel) (quad [4]vertex, shorter float64) {
	corners := h.of(points)
	if len(corners) < 3 {
		return quad, 0
	}
	c := calipersOn(corners)
	least := float32(math.Inf(1))
	var best rectangle
	for range corners {
		c.turn()
		if r := c.rectangle(); r.width*r.height <= least {
			least, best = r.width*r.height, r
		}
	}
	return best.corners()
}

// calipers are the sides of a rectangle around a convex polygon: at its bottom, right, top and left, where y goes up.
type calipers struct {
	corners []pixel
	at      [4]int // the corner that each side touches
	a, b    float32
}

func calipersOn(corners []pixel) *calipers {
	c := &calipers{corners: corners, a: 1}
	for i, p := range corners {
		if p.y <= corners[c.at[0]].y { // the right end of a side
			c.at[0] = i
		}
		if p.x > corners[c.at[1]].x {
			c.at[1] = i
		}
		if p.y > corners[c.at[2]].y {
			c.at[2] = i
		}
		if p.x <= corners[c.at[3]].x { // the upper end of a side
			c.at[3] = i
		}
	}
	return c
}

// side is the vector from a corner to the next.
func (c *calipers) side(i int) (x, y int32) {
	p, q := c.corners[i], c.corners[(i+1)%len(c.corners)]
	return q.x - p.x, q.y - p.y
}

// turn turns the calipers until one of them lies on a side of the polygon.
func (c *calipers) turn() {
	first, best := 0, [2]int32{}
	for k := range c.at {
		x, y := c.side(c.at[k])
		for range k { // as if it were the bottom
			x, y = y, -x
		}
		if k == 0 || int64(x)*int64(best[1])-int64(y)*int64(best[0]) > 0 {
			first, best = k, [2]int32{x, y}
		}
	}
	x, y := float64(best[0]), float64(best[1])
	inverse := float32(1 / math.Sqrt(x*x+y*y))
	c.a, c.b = float32(best[0])*inverse, float32(best[1])*inverse
	c.at[first] = (c.at[first] + 1) % len(c.corners)
}

// rectangle is one between calipers, whose width has the direction (a, b).
type rectangle struct {
	a, b, width, height float32
	left, bottom        pixel // points on two of its sides
}

func (c *calipers) rectangle() rectangle {
	bottom, right, top, left := c.corners[c.at[0]], c.corners[c.at[1]], c.corners[c.at[2]], c.corners[c.at[3]]
	width := float32(float32(right.x-left.x)*c.a) + float32(float32(right.y-left.y)*c.b)
	height := float32(-float32(top.x-bottom.x)*c.b) + float32(float32(top.y-bottom.y)*c.a)
	return rectangle{c.a, c.b, width, height, left, bottom}
}

// corners returns the corners in the order of clockwise, and the shorter side.
func (r *rectangle) corners() (quad [4]vertex, shorter float64) {
	a, b := r.a, r.b
	alongLeft := float32(a*float32(r.left.x)) + float32(float32(r.left.y)*b)
	acrossBottom := float32(-b*float32(r.bottom.x)) + float32(float32(r.bottom.y)*a)
	inverse := 1 / (float32(a*a) + float32(b*b))
	x := (float32(alongLeft*a) - float32(acrossBottom*b)) * inverse
	y := (float32(a*acrossBottom) + float32(b*alongLeft)) * inverse
	// cv2.minAreaRect returns the center, the sides and an angle, from which cv2.boxPoints has the corners.
	wx, wy, hx, hy := a*r.width, b*r.width, -b*r.height, a*r.height
	centerX, centerY := x+float32((wx+hx)*0.5), y+float32((wy+hy)*0.5)
	width := float32(math.Sqrt(float64(wx)*float64(wx) + float64(wy)*float64(wy)))
	height := float32(math.Sqrt(float64(hx)*float64(hx) + float64(hy)*float64(hy)))
	degrees := float32(float64(float32(math.Atan2(float64(wy), float64(wx)))) * 180 / math.Pi)
	sine, cosine := math.Sincos(float64(degrees) * math.Pi / 180)
	cos, sin := float32(cosine)*0.5, float32(sine)*0.5
	quad[0] = vertex{float64(centerX - float32(sin*height) - float32(cos*width)), float64(centerY + float32(cos*height) - float32(sin*width))}
	quad[1] = vertex{float64(centerX + float32(sin*height) - float32(cos*width)), float64(centerY - float32(cos*height) - float32(sin*width))}
	quad[2] = vertex{float64(2*centerX - float32(quad[0].x)), float64(2*centerY - float32(quad[0].y))}
	quad[3] = vertex{float64(2*centerX - float32(quad[1].x)), float64(2*centerY - float32(quad[1].y))}
	return clockwise(quad), float64(min(width, height))
}

// grow returns the corners of a quadrilateral that has grown by its area × ratio ÷ its perimeter, with round corners: unclip of PaddleOCR's
// ppocr/postprocess/db_postprocess.py, that is ClipperOffset with jtRound and whole coordinates (Clipper 6.4.2, clipper.cpp: DoOffset,
// OffsetPoint and DoRound). The corners are appended to a list.
func grow(list []pixel, quad [4]vertex, ratio float64) []pixel {
	area, perimeter := 0.0, 0.0
	var corners []pixel
	for i, p := range quad {
		q := quad[(i+1)%4]
		area += p.x*q.y - q.x*p.y
		perimeter += p.distance(q)
		c := pixel{int32(p.x), int32(p.y)}
		if !slices.Contains(corners, c) {
			corners = append(corners, c)
		}
	}
	delta := math.Abs(area) / 2 * ratio / perimeter
	if len(corners) < 3 || !(delta > 0) {
		return list
	}
	turn := int64(0)
	for i := range corners {
		turn += cross(corners[0], corners[i], corners[(i+1)%len(corners)])
	}
	if turn < 0 {
		slices.Reverse(corners)
	}
	return offset(list, corners, delta)
}

// arcTolerance is how far the corners of an arc may lie from it: def_arc_tolerance of Clipper.
const arcTolerance = 0.25

// offset appends the corners of a convex polygon that has grown by delta.
func offset(list, corners []pixel, delta float64) []pixel {
	steps := min(math.Pi/math.Acos(1-min(arcTolerance, delta*arcTolerance)/delta), delta*math.Pi)
	sin, cos := math.Sincos(2 * math.Pi / steps)
	n := len(corners)
	normal := func(i int) vertex {
		a, b := corners[i], corners[(i+1)%n]
		dx, dy := float64(b.x-a.x), float64(b.y-a.y)
		length := math.Hypot(dx, dy)
		return vertex{dy / length, -dx / length}
	}
	add := func(c pixel, by vertex) {
		list = append(list, pixel{int32(math.Round(float64(c.x) + by.x*delta)), int32(math.Round(float64(c.y) + by.y*delta))})
	}
	before := normal(n - 1)
	for i, c := range corners {
		after := normal(i)
		turn := before.x*after.y - after.x*before.y
		straight := before.x*after.x + before.y*after.y
		add(c, before)
		if math.Abs(turn*delta) < 1 && straight > 0 {
			before = after
			continue
		}
		angle := math.Atan2(max(-1, min(turn, 1)), straight)
		at := before
		for range max(int(math.Round(steps/(2*math.Pi)*math.Abs(angle))), 1) - 1 {
			at = vertex{at.x*cos - sin*at.y, at.x*sin + at.y*cos}
			add(c, at)
		}
		add(c, after)
		before = after
	}
	return list
}
