package postprocess

import "math"

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

// region is a part of an image, in pixels.
type region struct{ left, top, right, bottom int }

func (r region) empty() bool { return r.left >= r.right || r.top >= r.bottom }

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

// weigh adds planes of a map, each times its factor, into the part of a field. planes has the planes of lines×columns one after the other.
// Whole lines are weighed many at a time, since long parts of planes are read faster.
func (g *field) weigh(planes, factors []float32, columns, lines int) {
	clear(g.values)
	width := g.width
	if width == columns && width%8 == 0 {
		width = 2048
	}
	for from := 0; from < len(g.values); from += width {
		to, at := g.values[from:min(from+width, len(g.values))], (g.top+from/g.width)*columns+g.left+from%g.width
		k := 0
		for ; k+4 <= len(factors); k += 4 {
			weigh4(to, planes[k*columns*lines+at:], columns*lines, [4]float32(factors[k:k+4]))
		}
		for ; k < len(factors); k++ {
			p := planes[k*columns*lines+at:][:len(to)]
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
