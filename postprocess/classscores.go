package postprocess

import (
	"fmt"
	"math"
)

// classScores are scores of each class over an image.
type classScores struct {
	values                       []float32
	output                       string
	classes, lines, columns      int
	perClass, perLine, perColumn int // distances in values
	labels                       int
	x, y                         axis
}

// nearest takes the number of the class that is nearest to each pixel.
func (m *classScores) nearest(pixels []byte, w, h int) error {
	limit := maxMapClasses
	if m.labels > 0 {
		limit = m.labels
	}
	for y := range h {
		line := clampTo(int(math.Floor(m.y.at(y)+0.5)), m.lines) * m.perLine
		for x := range w {
			v := m.values[line+clampTo(int(math.Floor(m.x.at(x)+0.5)), m.columns)]
			if !(v >= 0 && v < float32(limit)) || v != float32(byte(v)) {
				return unusable(fmt.Errorf("output %q has the class %v; allowed: whole numbers from 0 to %d", m.output, v, limit-1))
			}
			pixels[y*w+x] = byte(v)
		}
	}
	return nil
}

// highest takes the class with the highest interpolated score at each pixel; of equal ones, the first. Between four points of the grid, a
// class whose score is nowhere below another's at these points cannot be below it, so that most cells have one candidate, and no pixel
// of them is computed.
func (m *classScores) highest(pixels []byte, w, h int) {
	best := m.best()
	columns, lines := m.x.cells(w, m.columns), m.y.cells(h, m.lines)
	candidates := make([]classCorners, 0, m.classes)
	for _, line := range lines {
		for _, column := range columns {
			corners := [4]int{line.a*m.columns + column.a, line.a*m.columns + column.b, line.b*m.columns + column.a, line.b*m.columns + column.b}
			class := best[corners[0]]
			if class == best[corners[1]] && class == best[corners[2]] && class == best[corners[3]] {
				for y := line.from; y < line.to; y++ {
					fill(pixels[y*w+column.from:y*w+column.to], class)
				}
				continue
			}
			candidates = m.candidates(candidates[:0], line, column, [4]byte{best[corners[0]], best[corners[1]], best[corners[2]], best[corners[3]]})
			m.cell(pixels, w, line, column, candidates)
		}
	}
}

func fill(pixels []byte, class byte) {
	for i := range pixels {
		pixels[i] = class
	}
}

// best returns the class with the highest score at each point of the grid.
func (m *classScores) best() []byte {
	best, high := make([]byte, m.lines*m.columns), make([]float32, m.lines*m.columns)
	for i := range high {
		high[i] = float32(math.Inf(-1))
	}
	for class := range m.classes {
		for line := range m.lines {
			at, to := class*m.perClass+line*m.perLine, line*m.columns
			for range m.columns {
				if v := m.values[at]; v > high[to] {
					high[to], best[to] = v, byte(class)
				}
				at += m.perColumn
				to++
			}
		}
	}
	return best
}

// gridCell is what lies between two neighboring columns or lines a and b of a grid: pixels from from to (excluding) to.
type gridCell struct{ a, b, from, to int }

// cells returns those of a side of pixels that have pixels.
func (a axis) cells(pixels, n int) (list []gridCell) {
	for p := range pixels {
		floor := int(math.Floor(a.at(p)))
		c := gridCell{clampTo(floor, n), clampTo(floor+1, n), p, p + 1}
		if last := len(list) - 1; last >= 0 && list[last].a == c.a && list[last].b == c.b {
			list[last].to++
			continue
		}
		list = append(list, c)
	}
	return list
}

// classCorners are the scores of a class at the four points around a cell.
type classCorners struct {
	class  byte
	scores [4]float32
}

// candidates are the classes that may be the highest in a cell: that are above each of the best classes of its points at one of these.
func (m *classScores) candidates(list []classCorners, line, column gridCell, best [4]byte) []classCorners {
	for class := range m.classes {
		v := m.corners(class, line, column)
		may := true
		for _, b := range best {
			if int(b) == class {
				may = true
				break
			}
			o := m.corners(int(b), line, column)
			may = may && (v[0] > o[0] || v[1] > o[1] || v[2] > o[2] || v[3] > o[3])
		}
		if may {
			list = append(list, classCorners{byte(class), v})
		}
	}
	return list
}

func (m *classScores) corners(class int, line, column gridCell) [4]float32 {
	above, below := m.values[class*m.perClass+line.a*m.perLine:], m.values[class*m.perClass+line.b*m.perLine:]
	return [4]float32{above[column.a*m.perColumn], above[column.b*m.perColumn], below[column.a*m.perColumn], below[column.b*m.perColumn]}
}

// cell interpolates the scores of the candidates at the pixels of a cell.
func (m *classScores) cell(pixels []byte, w int, line, column gridCell, candidates []classCorners) {
	for y := line.from; y < line.to; y++ {
		atY := m.y.at(y)
		partY := float32(atY - math.Floor(atY))
		for x := column.from; x < column.to; x++ {
			atX := m.x.at(x)
			partX := float32(atX - math.Floor(atX))
			high := float32(math.Inf(-1))
			pixels[y*w+x] = candidates[0].class // also where differences of huge scores overflow
			for i := range candidates {
				v := &candidates[i].scores
				above, below := v[0]+partX*(v[1]-v[0]), v[2]+partX*(v[3]-v[2])
				if score := above + partY*(below-above); score > high {
					high, pixels[y*w+x] = score, candidates[i].class
				}
			}
		}
	}
}
