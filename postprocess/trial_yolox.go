package postprocess

import (
	"math"
)

// Limits of the numbers of a raw YOLOX grid.
const (
	// maxSides is the size of a box, in sides of the input, that no trained model exceeds.
	maxSides = 100
	// manySizes are too many sizes to be fractions by chance: half of all log sizes are below 0.
	manySizes = 64
	// manyCells are enough cells to tell a decoded grid, whose sizes are never below 0 or whose positions follow the cells,
	// from numbers that are large for another reason, such as random weights.
	manyCells = 16
	// fewBelow is the share of decoded sizes that may be below 0 where they are corners instead.
	fewBelow = 0.05
)

// gridCheck is the aspect of a YOLOX grid that may be decoded already.
type gridCheck struct {
	y         *yolox
	numbers   span // x, y, w and h of cells that are not all zero
	xs        span // x of these
	sizes     int  // cells with a size that is not 0
	below     int  // sizes below 0
	rows      int
	cells     int     // of a row
	absurd    int     // rows with an absurdly large box
	largest   float64 // side of a box, in sides of the input
	pixels    trend   // of a position, in strides, over the column or row of its cell
	fractions trend   // the same, of positions as fractions of the input
}

// trend is the straight line through points (x, y).
type trend struct{ n, x, y, xx, xy, yy float64 }

func (t *trend) add(x, y float64) {
	t.n, t.x, t.y, t.xx, t.xy, t.yy = t.n+1, t.x+x, t.y+y, t.xx+x*x, t.xy+x*y, t.yy+y*y
}

// grid reports whether the line rises by about 1 per cell and the points lie near it.
func (t *trend) grid() bool {
	slope, explained := t.regression()
	return slope > 0.75 && slope < 1.25 && explained > 0.5
}

// regression returns the slope of the line and its coefficient of determination (r²); 0 and 0 if there is none.
func (t *trend) regression() (slope, explained float64) {
	xx, xy, yy := t.n*t.xx-t.x*t.x, t.n*t.xy-t.x*t.y, t.n*t.yy-t.y*t.y
	if !(xx > 0 && yy > 0) || math.IsInf(yy, 0) {
		return 0, 0
	}
	return xy / xx, xy * xy / (xx * yy)
}

func (e *gridCheck) add(row *trialRow) {
	values := row.grid
	w, h := e.y.size(row.transform)
	if len(values) != cellsOf(e.y.def.Output.Strides, w, h)*e.y.width {
		return
	}
	largest := 0.0
	for _, stride := range e.y.def.Output.Strides {
		columns, lines := w/stride, h/stride
		for cell := range columns * lines {
			row := values[:e.y.width]
			largest = max(largest, e.cell(row, float64(stride)/float64(w), float64(stride)/float64(h)))
			e.position(float64(cell%columns), float64(row[0])/float64(stride), float64(w))
			e.position(float64(cell/columns), float64(row[1])/float64(stride), float64(h))
			values = values[e.y.width:]
		}
	}
	e.rows++
	e.cells = max(e.cells, len(row.grid)/e.y.width)
	e.largest = max(e.largest, largest)
	if largest > maxSides {
		e.absurd++
	}
}

// position adds a coordinate of a box, in strides, by the column or row of its cell in an input of size pixels.
func (e *gridCheck) position(cell, at, size float64) {
	e.pixels.add(cell, at)
	e.fractions.add(cell, at*size)
}

// cell adds the numbers of a cell, of strideX×strideY in sides of the input, and returns the larger side of its box in these.
func (e *gridCheck) cell(row []float32, strideX, strideY float64) float64 {
	if row[2] != 0 || row[3] != 0 {
		e.numbers.add(row[:4]...)
		e.xs.add(row[0])
		e.sizes++
		for _, size := range row[2:4] {
			if size < 0 {
				e.below++
			}
		}
	}
	w := math.Exp(float64(row[2])) * strideX
	h := math.Exp(float64(row[3])) * strideY
	if math.IsNaN(w) || math.IsNaN(h) {
		return 0
	}
	return max(w, h)
}

func (e *gridCheck) findings(f *Findings) {
	if e.rows == 0 {
		return
	}
	output := e.y.grid.name
	many := e.cells >= manyCells
	switch {
	case e.absurd > 0 && e.decoded():
		f.judge(e.absurd == e.rows && many, "output.decode: yolox decodes a raw grid, but then boxes of output %q would be up to "+
			"%.3g times as large as the input, in %d of %d trial runs: they seem to be decoded already; "+
			"try output.decode: yolov5", output, e.largest, e.absurd, e.rows)
	case e.decodedToFractions():
		f.warn("output.decode: yolox decodes a raw grid, but positions and sizes of output %q seem to be fractions of the "+
			"input in trial runs: decoded already; try output.decode: yolov5 with box_space: unit", output)
	}
}

// decoded reports whether the grid seems decoded to pixels: its positions grow by a stride per cell, or its sizes are not below
// 0, as half of a raw grid's log sizes are.
func (e *gridCheck) decoded() bool {
	return e.pixels.grid() || float64(e.below) <= 2*fewBelow*float64(e.sizes)
}

// decodedToFractions reports whether the grid seems decoded to fractions of the input. Cells that are all alike are raw ones
// that do not depend on the image.
func (e *gridCheck) decodedToFractions() bool {
	if e.sizes < manySizes || e.below > 0 {
		return false
	}
	return e.fractions.grid() || e.numbers.within(0, 1, 0) && e.xs.high-e.xs.low > 0.5
}
