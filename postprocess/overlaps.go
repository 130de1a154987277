package postprocess

import (
	"cmp"
	"math"
	"slices"
)

// overlaps finds the pieces of a group whose bounds overlap.
type overlaps struct {
	pieces []piece
	group  []int32 // of pieces, best first
	left   []int32 // the places in group, by the left edge
	widest float64
	found  []int32
}

func newOverlaps(pieces []piece, group []int32) *overlaps {
	o := &overlaps{pieces: pieces, group: group, left: make([]int32, len(group))}
	for i := range group {
		o.left[i] = int32(i)
		b := o.bounds(i)
		o.widest = max(o.widest, b.x2-b.x1)
	}
	slices.SortFunc(o.left, func(a, b int32) int { return cmp.Compare(o.bounds(int(a)).x1, o.bounds(int(b)).x1) })
	return o
}

func (o *overlaps) bounds(i int) *rect { return &o.pieces[o.group[i]].bounds }

// of returns the places in the group of other pieces that overlap piece i: best first, or in the order in which they were added. The result
// is valid until the next call.
func (o *overlaps) of(i int, asAdded bool) []int32 {
	b := o.bounds(i)
	from, _ := slices.BinarySearchFunc(o.left, b.x1-o.widest, func(at int32, x float64) int { return cmp.Compare(o.bounds(int(at)).x1, x) })
	o.found = o.found[:0]
	for _, at := range o.left[from:] {
		c := o.bounds(int(at))
		if c.x1 >= b.x2 {
			break
		}
		if int(at) != i && c.x2 > b.x1 && c.y1 < b.y2 && c.y2 > b.y1 {
			o.found = append(o.found, at)
		}
	}
	if asAdded {
		slices.SortFunc(o.found, func(a, b int32) int { return cmp.Compare(o.pieces[o.group[a]].order, o.pieces[o.group[b]].order) })
	} else {
		slices.Sort(o.found)
	}
	return o.found
}

// area returns that of the rotated box.
func (b *OrientedBox) area() float64 { return math.Abs(twiceArea(b.Corners[:])) / 2 }

// twiceArea is twice the area of a polygon, negative if its corners go counterclockwise on the screen.
func twiceArea(polygon [][2]float64) (sum float64) {
	for i, p := range polygon {
		q := polygon[(i+1)%len(polygon)]
		sum += p[0]*q[1] - q[0]*p[1]
	}
	return sum
}

// sharedArea is the area of the intersection of two convex quadrilaterals: one is cut off along each side of the other (Sutherland and Hodgman,
// "Reentrant Polygon Clipping", 1974).
func sharedArea(a, b *[4][2]float64) float64 {
	turn := 1.0
	if twiceArea(b[:]) < 0 {
		turn = -1
	}
	var buffers [2][8][2]float64
	polygon := append(buffers[0][:0], a[:]...)
	for i := range b {
		from, to := b[i], b[(i+1)%len(b)]
		side := func(p [2]float64) float64 { // positive within
			return turn * ((to[0]-from[0])*(p[1]-from[1]) - (to[1]-from[1])*(p[0]-from[0]))
		}
		rest := buffers[(i+1)%2][:0]
		for k, p := range polygon {
			q := polygon[(k+1)%len(polygon)]
			sp, sq := side(p), side(q)
			if sp >= 0 {
				rest = append(rest, p)
			}
			if sp*sq < 0 {
				t := sp / (sp - sq)
				rest = append(rest, [2]float64{p[0] + t*(q[0]-p[0]), p[1] + t*(q[1]-p[1])})
			}
		}
		polygon = rest
	}
	return math.Abs(twiceArea(polygon)) / 2
}
