package postprocess

import (
	"errors"
	"math"
	"math/bits"
	"slices"
)

// fieldScratch is the memory of fields and of the masks that are made of them.
type fieldScratch struct {
	values  []float32
	starts  []int32    // of lines: the first row of pixels below them
	above   []uint64   // of lines: a bit for each number above the threshold
	columns []uint64   // of columns
	cells   []cells    // of the strip between two columns
	count   int        // of them
	rows    [][8]int32 // of the cells, in a column of pixels
	sides   []uint8
	turns   []uint32
}

// cells are eight of the cells of a strip: each lies between two lines and two columns of a field, and its four numbers are not all on the same
// side of the threshold.
type cells struct {
	line             [8]int32   // of the map
	low, high        [8]int32   // the rows of pixels in it: the first one, and the first one below
	upper, upperStep [8]float32 // the number in the left column, and the difference to the right one, in the line
	lower, lowerStep [8]float32 // and in the next one
}

// crossings is what a column of pixels has in common with its cells.
type crossings struct {
	part, threshold float32 // of the way from the left column to the right one
	y               axis
}

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
		s.findSides(g, threshold)
		last := [2]int{-1, -1}
		for x := r.left; x < r.right; x++ {
			a, b, part := g.between(x)
			if last != [2]int{a, b} {
				s.strip(g, a, b)
				last = [2]int{a, b}
			}
			top := g.values[a] + part*(g.values[b]-g.values[a])
			s.addColumn(r, uint32(x*height), &crossings{part, threshold, g.y}, top > threshold)
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
		s.starts = append(s.starts, int32(y))
	}
	s.starts = append(s.starts, int32(r.bottom))
}

// findSides sets a bit for each number of a field above the threshold: for each column, from the first line on.
func (s *fieldScratch) findSides(g *field, threshold float32) {
	words, lineWords := (g.width+63)/64, (g.height+63)/64
	s.above = slices.Grow(s.above[:0], g.height*words)[:g.height*words]
	for line := range g.height {
		bitsAbove(g.values[line*g.width:(line+1)*g.width], threshold, s.above[line*words:(line+1)*words])
	}
	s.columns = slices.Grow(s.columns[:0], words*64*lineWords)[:words*64*lineWords]
	for w := range words {
		for lw := range lineWords {
			var block [64]uint64
			for i := range min(64, g.height-lw*64) {
				block[i] = s.above[(lw*64+i)*words+w]
			}
			transpose(&block)
			for i, column := range block {
				s.columns[(w*64+i)*lineWords+lw] = column
			}
		}
	}
}

// transpose makes bit j of word i bit i of word j (Hacker's Delight, 7-3).
func transpose(a *[64]uint64) {
	for j, m := 32, uint64(1<<32-1); j != 0; j, m = j>>1, m^m<<(j>>1) {
		for k := 0; k < 64; k = (k + j + 1) &^ j {
			t := (a[k]>>j ^ a[k|j]) & m
			a[k] ^= t << j
			a[k|j] ^= t
		}
	}
}

// strip finds the cells between two columns, which outside of the field are the same.
func (s *fieldScratch) strip(g *field, a, b int) {
	s.cells, s.count = s.cells[:0], 0
	words := (g.height + 63) / 64
	left, right := s.columns[a*words:(a+1)*words], s.columns[b*words:(b+1)*words]
	for w, l := range left {
		r := right[w]
		nextL, nextR, valid := l>>1, r>>1, ^uint64(0)
		if w+1 < words {
			nextL |= left[w+1] << 63
			nextR |= right[w+1] << 63
		} else {
			valid = 1<<((g.height-1)&63) - 1 // the last line has none below it
		}
		for mixed := ((l ^ r) | (l ^ nextL) | (l ^ nextR)) & valid; mixed != 0; mixed &= mixed - 1 {
			s.addCell(g, w*64+bits.TrailingZeros64(mixed), a, b)
		}
	}
	n := len(s.cells)
	s.rows = slices.Grow(s.rows[:0], n)[:n]
	s.sides = slices.Grow(s.sides[:0], n)[:n]
}

func (s *fieldScratch) addCell(g *field, line, a, b int) {
	i := s.count % 8
	if i == 0 {
		n := len(s.cells)
		s.cells = slices.Grow(s.cells, 1)[:n+1]
	}
	c := &s.cells[s.count/8]
	upper, lower := g.values[line*g.width:(line+1)*g.width], g.values[(line+1)*g.width:(line+2)*g.width]
	c.line[i], c.low[i], c.high[i] = int32(line+g.top), s.starts[line], s.starts[line+1]
	c.upper[i], c.upperStep[i] = upper[a], upper[b]-upper[a]
	c.lower[i], c.lowerStep[i] = lower[a], lower[b]-lower[a]
	s.count++
}

// bitsAbove sets a bit for each number above a threshold, from the lowest bit on.
func bitsAbove(values []float32, threshold float32, into []uint64) {
	clear(into)
	n := 0
	if hasBlocks && len(values) >= 8 {
		n = len(values) &^ 7
		aboveBlocks(&into[0], &values[0], threshold, n)
	}
	for i, v := range values[n:] {
		if v > threshold {
			into[(n+i)/64] |= 1 << ((n + i) & 63)
		}
	}
}

// addColumn adds the pixels of a column that begins at a position. inside is whether the field is above the threshold in its first line.
func (s *fieldScratch) addColumn(r region, position uint32, p *crossings, inside bool) {
	turns := slices.Grow(s.turns, s.count+2)
	n := len(turns)
	turns = turns[:n+s.count+2]
	add := func(y int32) {
		at := position + uint32(y)
		if n > 0 && turns[n-1] == at {
			n-- // continues from the end of the last column, or turns back
			return
		}
		turns[n] = at
		n++
	}
	last := uint32(0)
	if inside {
		last = 1
		add(int32(r.top))
	}
	crossCells(s.rows, s.sides, s.cells, p)
	for i, sides := range s.sides {
		side := uint32(sides)
		turned := side ^ (side<<1 | last)
		last = side >> 7
		if count := s.count - i*8; count < 8 {
			turned &= 1<<count - 1
			last = side >> (count - 1) & 1
		}
		for turned &= 0xff; turned != 0; turned &= turned - 1 {
			add(s.rows[i][bits.TrailingZeros32(turned)])
		}
	}
	if last == 1 {
		add(int32(r.bottom))
	}
	s.turns = turns[:n]
}

// crossCells finds, for a column of pixels, the first row of each cell that lies beyond the threshold, if there is one: rows. sides has a bit for
// each cell whose lower line is above the threshold.
func crossCells(rows [][8]int32, sides []uint8, list []cells, p *crossings) {
	if hasBlocks && len(list) > 0 {
		crossBlocks(&rows[0], &sides[0], &list[0], len(list), p)
		return
	}
	crossPlain(rows, sides, list, p)
}

// crossPlain is crossCells without SIMD.
func crossPlain(rows [][8]int32, sides []uint8, list []cells, p *crossings) {
	for k := range list {
		c := &list[k]
		sides[k] = 0
		for i := range c.line {
			a, b := c.upper[i]+p.part*c.upperStep[i], c.lower[i]+p.part*c.lowerStep[i]
			if b > p.threshold {
				sides[k] |= 1 << i
			}
			rows[k][i] = c.high[i]
			if (a > p.threshold) != (b > p.threshold) {
				rows[k][i] = p.row(c.line[i], a, b, c.low[i], c.high[i])
			}
		}
	}
}

// row is the first row of pixels, of those from low to high, that lies beyond the threshold, between two lines with numbers a and b.
func (p *crossings) row(line int32, a, b float32, low, high int32) int32 {
	at := (float64(line)+float64(p.threshold-a)/float64(b-a)-p.y.offset)/p.y.scale - 0.5
	if b > p.threshold {
		at = math.Floor(at) + 1
	} else {
		at = math.Ceil(at)
	}
	if at < float64(high) { // NaN is not
		return int32(max(float64(low), at))
	}
	return high
}

// runsOf returns the lengths between the positions at which pixels begin and end to belong to a mask, and overwrites these.
func runsOf(turns []uint32, pixels int) []uint32 {
	last := uint32(0)
	for i, at := range turns {
		turns[i] = at - last
		last = at
	}
	if last < uint32(pixels) || len(turns) == 0 {
		turns = append(turns, uint32(pixels)-last)
	}
	return slices.Clone(turns)
}
