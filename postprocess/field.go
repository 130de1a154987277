package postprocess

import (
	"errors"
	"math"
)

// axis maps pixels of an image to columns or lines of a map: the center of pixel p lies at (p + 0.5)·scale + offset, where the center of
// the first column is 0. This is bilinear interpolation without aligned corners, as in PyTorch and OpenCV.
type axis struct{ scale, offset float64 }

// axisOf is the axis of a map of n columns over side pixels of the input.
func axisOf(scale, offset float64, n, side int) axis {
	per := float64(n) / float64(side)
	return axis{scale * per, offset*per - 0.5}
}

func (a axis) at(pixel int) float64 { return (float64(pixel)+0.5)*a.scale + a.offset }

// span returns the columns of a map of n that pixels from first to (excluding) end are interpolated from, of which the last is included.
func (a axis) span(first, end, n int) (low, high int) {
	low = clampTo(int(math.Floor(a.at(first))), n)
	return low, clampTo(int(math.Floor(a.at(end-1)))+1, n)
}

func clampTo(i, n int) int { return max(0, min(i, n-1)) }

// field is a part of a map of numbers over an image: lines of columns, with the part's place in the map. Beyond the map its border
// continues.
type field struct {
	values        []float32
	left, top     int
	width, height int // of the part
	x, y          axis
}

// fieldScratch is the memory of fields and of the masks that are made of them.
type fieldScratch struct {
	values []float32
	starts []int // of lines: the first row of pixels below them
	mixed  []int // lines below which a cell crosses the threshold
	turns  []uint32
}

// region is a part of an image, in pixels.
type region struct{ left, top, right, bottom int }

func (r region) empty() bool { return r.left >= r.right || r.top >= r.bottom }

// maxRuns bounds the runs of all masks of an image: 64 MiB.
const maxRuns = 1 << 24

var errRagged = errors.New("the masks have too many edges")

// maskOf returns the pixels of a region where a field, interpolated, exceeds a threshold. Where the four numbers around a cell of the
// field are all above it or none is, so is what lies between them. In the other cells the interpolation is linear along a column of
// pixels, so that each crossing is computed, not every pixel.
func (s *fieldScratch) maskOf(g *field, r region, threshold float32, width, height int) []uint32 {
	s.turns = s.turns[:0]
	if !r.empty() {
		s.findStarts(g, r)
		last := [2]int{-1, -1}
		for x := r.left; x < r.right; x++ {
			a, b, part := g.between(x)
			if last != [2]int{a, b} {
				s.findMixed(g, a, b, threshold)
				last = [2]int{a, b}
			}
			s.addColumn(g, r, uint32(x*height), strip{a, b, part, threshold})
		}
	}
	return runsOf(s.turns, width*height)
}

// strip is where a column of pixels lies between two columns a and b of a field.
type strip struct {
	a, b      int
	part      float32 // from a to b
	threshold float32
}

// at interpolates the number in a line.
func (p *strip) at(g *field, line int) float32 {
	a, b := g.values[line*g.width+p.a], g.values[line*g.width+p.b]
	return a + p.part*(b-a)
}

// findMixed finds the lines below which a cell between two columns has numbers on both sides of the threshold.
func (s *fieldScratch) findMixed(g *field, a, b int, threshold float32) {
	s.mixed = s.mixed[:0]
	left, right := g.values[a] > threshold, g.values[b] > threshold
	for line := 1; line < g.height; line++ {
		row := g.values[line*g.width : (line+1)*g.width]
		nextLeft, nextRight := row[a] > threshold, row[b] > threshold
		if left != right || left != nextLeft || left != nextRight {
			s.mixed = append(s.mixed, line-1)
		}
		left, right = nextLeft, nextRight
	}
}

// findStarts finds, for each line of a field, the first row of pixels whose center does not lie above it.
func (s *fieldScratch) findStarts(g *field, r region) {
	s.starts = s.starts[:0]
	y := r.top
	for line := range g.height {
		for y < r.bottom && g.y.at(y) < float64(line+g.top) {
			y++
		}
		s.starts = append(s.starts, y)
	}
	s.starts = append(s.starts, r.bottom)
}

// between returns the columns of the field that a column of pixels lies between, and where.
func (g *field) between(x int) (a, b int, part float32) {
	at := g.x.at(x)
	floor := math.Floor(at)
	return clampTo(int(floor)-g.left, g.width), clampTo(int(floor)+1-g.left, g.width), float32(at - floor)
}

// column interpolates the values of a column of pixels, in the lines of the field.
func (g *field) column(x int, into []float32) {
	a, b, part := g.between(x)
	for line := range into {
		row := g.values[line*g.width : (line+1)*g.width]
		into[line] = lerp(row[a], row[b], float64(part))
	}
}

// lerp interpolates between two numbers, whose difference may be too large for a float32.
func lerp(a, b float32, part float64) float32 {
	return float32(float64(a) + part*(float64(b)-float64(a)))
}

// addColumn adds the pixels of a column that begins at a position.
func (s *fieldScratch) addColumn(g *field, r region, position uint32, p strip) {
	inside := false
	turn := func(y int, to bool) {
		if to == inside {
			return
		}
		inside = to
		at := position + uint32(y)
		if n := len(s.turns); n > 0 && s.turns[n-1] == at {
			s.turns = s.turns[:n-1] // continues from the end of the last column, or turns back
			return
		}
		s.turns = append(s.turns, at)
	}
	turn(r.top, p.at(g, 0) > p.threshold)
	for _, line := range s.mixed {
		a, b := p.at(g, line), p.at(g, line+1)
		low, high := s.starts[line], s.starts[line+1]
		if (a > p.threshold) != (b > p.threshold) && low < high {
			turn(g.crossing(&p, line, a, b, low, high), b > p.threshold)
		}
		turn(high, b > p.threshold)
	}
	turn(r.bottom, false)
}

// crossing is the first row of pixels, of those from low to high, that lies beyond the threshold, between two lines with numbers a and b.
func (g *field) crossing(p *strip, line int, a, b float32, low, high int) int {
	cross := (float64(line+g.top)+float64(p.threshold-a)/float64(b-a)-g.y.offset)/g.y.scale - 0.5
	if b > p.threshold {
		cross = math.Floor(cross) + 1
	} else {
		cross = math.Ceil(cross)
	}
	if cross < float64(high) { // NaN is not
		return max(low, int(cross))
	}
	return high
}

// runsOf returns the lengths between the positions at which pixels begin and end to belong to a mask.
func runsOf(turns []uint32, pixels int) []uint32 {
	runs := make([]uint32, 0, len(turns)+1)
	last := uint32(0)
	for _, at := range turns {
		runs = append(runs, at-last)
		last = at
	}
	if last < uint32(pixels) || len(runs) == 0 {
		runs = append(runs, uint32(pixels)-last)
	}
	return runs
}

// weigh adds planes of a map, each times its factor, into the part of a field. planes has the planes of lines×columns one after the other.
func (g *field) weigh(planes, factors []float32, columns, lines int) {
	clear(g.values)
	plane := columns * lines
	for line := range g.height {
		to, at := g.values[line*g.width:(line+1)*g.width], (g.top+line)*columns+g.left
		k := 0
		for ; k+4 <= len(factors); k += 4 {
			weigh4(to, planes[k*plane+at:], plane, [4]float32(factors[k:k+4]))
		}
		for ; k < len(factors); k++ {
			p := planes[k*plane+at:][:len(to)]
			for i := range to {
				to[i] += factors[k] * p[i]
			}
		}
	}
}

// weigh4 adds four planes that follow each other to a line.
func weigh4(to, planes []float32, plane int, f [4]float32) {
	if hasBlocks && len(to) >= 8 {
		n := len(to) &^ 7
		_ = planes[3*plane+n-1] // which the blocks reach
		weighBlocks(&to[0], &planes[0], uintptr(4*plane), &f, n)
		to, planes = to[n:], planes[n:]
	}
	if len(to) == 0 {
		return
	}
	p0, p1 := planes[:len(to)], planes[plane:][:len(to)]
	p2, p3 := planes[2*plane:][:len(to)], planes[3*plane:][:len(to)]
	for i := range to {
		to[i] += f[0]*p0[i] + f[1]*p1[i] + f[2]*p2[i] + f[3]*p3[i]
	}
}
