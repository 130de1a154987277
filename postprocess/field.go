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
	column []float32
	starts []int
	turns  []uint32
}

// region is a part of an image, in pixels.
type region struct{ left, top, right, bottom int }

func (r region) empty() bool { return r.left >= r.right || r.top >= r.bottom }

// maxRuns bounds the runs of all masks of an image: 64 MiB.
const maxRuns = 1 << 24

var errRagged = errors.New("the masks have too many edges")

// maskOf returns the pixels of a region where a field, interpolated, exceeds a threshold. Between two lines of a column the interpolation is
// linear, so that each crossing is computed, not every pixel.
func (s *fieldScratch) maskOf(g *field, r region, threshold float32, width, height int) []uint32 {
	s.turns = s.turns[:0]
	if !r.empty() {
		s.findStarts(g, r)
		if cap(s.column) < g.height {
			s.column = make([]float32, g.height)
		}
		s.column = s.column[:g.height]
		for x := r.left; x < r.right; x++ {
			g.column(x, s.column)
			s.addColumn(g, r, uint32(x*height), threshold)
		}
	}
	return runsOf(s.turns, width*height)
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

// column interpolates the values of a column of pixels, in the lines of the field.
func (g *field) column(x int, into []float32) {
	at := g.x.at(x)
	floor := math.Floor(at)
	part := float32(at - floor)
	a, b := clampTo(int(floor)-g.left, g.width), clampTo(int(floor)+1-g.left, g.width)
	for line := range into {
		row := g.values[line*g.width : (line+1)*g.width]
		into[line] = row[a] + part*(row[b]-row[a])
	}
}

// addColumn adds the pixels of a column that begins at a position.
func (s *fieldScratch) addColumn(g *field, r region, position uint32, threshold float32) {
	v := s.column
	inside := false
	turn := func(y int, to bool) {
		if to == inside {
			return
		}
		inside = to
		at := position + uint32(y)
		if n := len(s.turns); n > 0 && s.turns[n-1] == at {
			s.turns = s.turns[:n-1] // continues from the end of the last column
			return
		}
		s.turns = append(s.turns, at)
	}
	if s.starts[0] > r.top {
		turn(r.top, v[0] > threshold)
	}
	for line := range v {
		low, high := s.starts[line], s.starts[line+1]
		if low >= high {
			continue
		}
		a := v[line]
		if line+1 == len(v) || (a > threshold) == (v[line+1] > threshold) {
			turn(low, a > threshold)
			continue
		}
		b := v[line+1]
		cross := (float64(line+g.top)+float64(threshold-a)/float64(b-a)-g.y.offset)/g.y.scale - 0.5
		y := high
		if b > threshold {
			cross = math.Floor(cross) + 1
		} else {
			cross = math.Ceil(cross)
		}
		if cross < float64(high) { // NaN is not
			y = max(low, int(cross))
		}
		if y > low {
			turn(low, a > threshold)
		}
		if y < high {
			turn(y, b > threshold)
		}
	}
	turn(r.bottom, false)
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
func (g *field) weigh(planes []float32, factors []float32, columns, lines int) {
	clear(g.values)
	plane := columns * lines
	k := 0
	for ; k+4 <= len(factors); k += 4 {
		f0, f1, f2, f3 := factors[k], factors[k+1], factors[k+2], factors[k+3]
		for line := range g.height {
			to := g.values[line*g.width : (line+1)*g.width]
			at := k*plane + (g.top+line)*columns + g.left
			p0, p1 := planes[at:][:len(to)], planes[at+plane:][:len(to)]
			p2, p3 := planes[at+2*plane:][:len(to)], planes[at+3*plane:][:len(to)]
			for i := range to {
				to[i] += f0*p0[i] + f1*p1[i] + f2*p2[i] + f3*p3[i]
			}
		}
	}
	for ; k < len(factors); k++ {
		for line := range g.height {
			to := g.values[line*g.width : (line+1)*g.width]
			p := planes[k*plane+(g.top+line)*columns+g.left:][:len(to)]
			for i := range to {
				to[i] += factors[k] * p[i]
			}
		}
	}
}
