package postprocess

import "slices"

// contours finds the outlines of the parts of a binary map: where it is above a threshold. Points that touch at a corner belong together.
// The borders of holes are outlines, too. Each is followed as in Suzuki and Abe, "Topological Structural Analysis of Digitized Binary
// Images by Border Following" (1985), and only points at which it turns are returned: cv2.findContours with RETR_LIST and
// CHAIN_APPROX_SIMPLE, which lists the last outline that it meets first.
type contours struct {
	bits    []int8 // with a border of 0 around: 0, 1, and 2 or -2 where an outline was followed, -2 if 0 follows to the right
	stride  int
	points  []pixel
	ends    []int // of outlines in points
	pending int   // outlines that were not returned
}

const (
	unfollowed = 1
	followed   = 2
)

// newContours finds the outlines of a map, the last most of them. With dilate, points grow to the right and below, as in cv2.dilate with a
// kernel of 2×2. The result is valid until the scratch is used again.
func newContours(mem *scratch, m probabilityMap, threshold float32, dilate bool, most int) *contours {
	c := &mem.contours
	c.binarize(m, threshold, dilate)
	c.points, c.ends = c.points[:0], c.ends[:0]
	for y := 1; y <= m.height; y++ {
		row := c.bits[y*c.stride : (y+1)*c.stride]
		before := int8(0)
		for x := 1; x < len(row); x++ {
			bit := row[x]
			switch {
			case bit == before:
				continue
			case before == 0 && bit == unfollowed:
				c.follow(y*c.stride+x, false)
			case bit == 0 && before >= unfollowed:
				c.follow(y*c.stride+x-1, true)
			}
			before = row[x]
		}
		if len(c.ends) > 2*most { // noise
			c.drop(len(c.ends) - most)
		}
	}
	c.drop(len(c.ends) - most)
	c.pending = len(c.ends)
	return c
}

// drop forgets the first n outlines.
func (c *contours) drop(n int) {
	if n <= 0 {
		return
	}
	dropped := c.ends[n-1]
	c.points = append(c.points[:0], c.points[dropped:]...)
	c.ends = append(c.ends[:0], c.ends[n:]...)
	for i := range c.ends {
		c.ends[i] -= dropped
	}
}

// binarize sets bits.
func (c *contours) binarize(m probabilityMap, threshold float32, dilate bool) {
	c.stride = m.width + 2
	c.bits = slices.Grow(c.bits[:0], c.stride*(m.height+2))[:c.stride*(m.height+2)]
	clear(c.bits[:c.stride])
	clear(c.bits[(m.height+1)*c.stride:])
	for y := range m.height {
		to, row := c.bits[(y+1)*c.stride:(y+2)*c.stride], m.values[y*m.width:(y+1)*m.width]
		to[0], to[m.width+1] = 0, 0
		inside := to[1 : m.width+1]
		for x, v := range row {
			bit := int8(0)
			if v > threshold {
				bit = unfollowed
			}
			inside[x] = bit
		}
	}
	if !dilate {
		return
	}
	for y := m.height; y > 0; y-- {
		row, above := c.bits[y*c.stride:(y+1)*c.stride], c.bits[(y-1)*c.stride:y*c.stride]
		for x := m.width; x > 0; x-- {
			row[x] |= row[x-1] | above[x] | above[x-1]
		}
	}
}

// The directions to the points around one, counterclockwise from the right.
const around = 8

var aroundX, aroundY = [around]int{1, 1, 0, -1, -1, -1, 0, 1}, [around]int{0, -1, -1, -1, 0, 1, 1, 1}

// follow follows an outline from its first point, and keeps those at which it turns.
func (c *contours) follow(start int, hole bool) {
	var offsets [around]int
	for s := range offsets {
		offsets[s] = aroundY[s]*c.stride + aroundX[s]
	}
	keep := func(at int) {
		c.points = append(c.points, pixel{int32(at%c.stride - 1), int32(at/c.stride - 1)})
	}
	from := 4 // the direction that is known to be 0: to the left of a part, or to the right within a hole
	if hole {
		from = 0
	}
	s := from
	for s = (s + around - 1) % around; s != from && c.bits[start+offsets[s]] == 0; s = (s + around - 1) % around {
	}
	if s == from { // a single point
		c.bits[start] = -followed
		keep(start)
		c.ends = append(c.ends, len(c.points))
		return
	}
	last := start + offsets[s] // the point from which the outline returns to its first
	turned := (s + 4) % around
	for at := start; ; {
		arrived := s
		for s++; c.bits[at+offsets[s%around]] == 0; s++ {
		}
		next := at + offsets[s%around]
		// Whether the direction to the right was passed, and so is 0.
		if s %= around; s > 0 && s <= arrived {
			c.bits[at] = -followed
		} else if c.bits[at] == unfollowed {
			c.bits[at] = followed
		}
		if s != turned {
			keep(at)
			turned = s
		}
		if next == start && at == last {
			break
		}
		at, s = next, (s+4)%around
	}
	c.ends = append(c.ends, len(c.points))
}

// next returns the next outline, the last one first.
func (c *contours) next() (outline []pixel, ok bool) {
	if c.pending == 0 {
		return nil, false
	}
	c.pending--
	begin := 0
	if c.pending > 0 {
		begin = c.ends[c.pending-1]
	}
	return c.points[begin:c.ends[c.pending]], true
}
