package postprocess

import (
	"math"

	"fovea/preprocess/geometry"
)

// Limits of what the numbers of a raw YOLOX grid can be.
const (
	// beyondSense is how many times the input's side a box can be, in no trained model: its boxes end near the image.
	beyondSense = 100
	// manySizes is how many sizes cannot all be fractions by chance: half of all cells' log sizes are below 0.
	manySizes = 64
	// manyCells is how many cells tell a grid that is decoded from numbers that are large for another reason, as those of
	// random weights: sizes are never below 0 there, or places follow the cells.
	manyCells = 16
	// fewBelow is the part of decoded sizes that may be below 0, where corners are given in their place.
	fewBelow = 0.05
)

// yoloxChecker examines a grid.
type yoloxChecker struct {
	y       *yolox
	scores  span
	places  span // x, y, w and h of cells that are not all zero
	columns span // x of these
	sizes   int  // cells with a size that is not 0
	below   int  // sizes below 0
	rows    int
	absurd  int     // rows with a box beyond all sense
	largest float64 // side of a box, in sides of the input
	buffer  []float32
	pixels  trend // of a place, in strides, over the column or line of its cell
	parts   trend // the same, of places in parts of the input
}

// trend is the straight line through points (x, y).
type trend struct{ n, x, y, xx, xy, yy float64 }

func (t *trend) add(x, y float64) {
	t.n, t.x, t.y, t.xx, t.xy, t.yy = t.n+1, t.x+x, t.y+y, t.xx+x*x, t.xy+x*y, t.yy+y*y
}

// grid says whether the line goes up by about 1 from cell to cell, and the points lie near it.
func (t *trend) grid() bool {
	slope, explained := t.regression()
	return slope > 0.75 && slope < 1.25 && explained > 0.5
}

// regression is the slope of the line, and the part of y's variance that it explains (r²); 0 and 0 where there is none.
func (t *trend) regression() (slope, explained float64) {
	xx, xy, yy := t.n*t.xx-t.x*t.x, t.n*t.xy-t.x*t.y, t.n*t.yy-t.y*t.y
	if !(xx > 0 && yy > 0) || math.IsInf(yy, 0) {
		return 0, 0
	}
	return xy / xx, xy * xy / (xx * yy)
}

func (y *yolox) checker() checker { return &yoloxChecker{y: y} }

func (e *yoloxChecker) add(outputs []Tensor, _ geometry.Transform, _ Side) {
	t, err := e.y.grid.read(outputs)
	if err != nil {
		return
	}
	var values []float32
	values, e.buffer = t.floats(e.buffer)
	if len(values) != e.y.cells*e.y.width {
		return
	}
	largest := 0.0
	for _, stride := range e.y.def.Output.Strides {
		columns, lines := e.y.def.Input.Width/stride, e.y.def.Input.Height/stride
		for cell := range columns * lines {
			row := values[:e.y.width]
			largest = max(largest, e.cell(row, float64(stride)))
			e.place(float64(cell%columns), float64(row[0])/float64(stride), float64(e.y.def.Input.Width))
			e.place(float64(cell/columns), float64(row[1])/float64(stride), float64(e.y.def.Input.Height))
			values = values[e.y.width:]
		}
	}
	e.rows++
	e.largest = max(e.largest, largest)
	if largest > beyondSense {
		e.absurd++
	}
}

// place takes where a box lies, in strides, along the columns or the lines of an input of size pixels.
func (e *yoloxChecker) place(cell, at, size float64) {
	e.pixels.add(cell, at)
	e.parts.add(cell, at*size)
}

// cell takes the numbers of a cell, and returns its box's larger side in sides of the input.
func (e *yoloxChecker) cell(row []float32, stride float64) float64 {
	e.scores.add(row[4])
	e.scores.add(row[yoloxHead+e.y.def.Output.ClassFirst:]...)
	if row[2] != 0 || row[3] != 0 {
		e.places.add(row[:4]...)
		e.columns.add(row[0])
		e.sizes++
		for _, size := range row[2:4] {
			if size < 0 {
				e.below++
			}
		}
	}
	w := math.Exp(float64(row[2])) * stride / float64(e.y.def.Input.Width)
	h := math.Exp(float64(row[3])) * stride / float64(e.y.def.Input.Height)
	if math.IsNaN(w) || math.IsNaN(h) {
		return 0
	}
	return max(w, h)
}

func (e *yoloxChecker) conclude(f *Findings) {
	if e.rows == 0 {
		return
	}
	output := e.y.grid.name
	e.scores.scores(f, "output.name", output, true)
	many := e.y.cells >= manyCells
	switch {
	case e.absurd > 0 && e.decoded():
		f.judge(e.absurd == e.rows && many, "output.decode: says yolox, which decodes a raw grid, but then boxes of output %q would be up to "+
			"%.3g times as large as the input, in %d of %d trial runs: they seem to be decoded already. Export the model without its "+
			"decoding (YOLOX: without --decode_in_inference)", output, e.largest, e.absurd, e.rows)
	case e.decodedToFractions():
		f.warn("output.decode: says yolox, which decodes a raw grid, but places and sizes of output %q seem to be parts of the "+
			"input in trial runs: decoded already", output)
	}
}

// decoded says whether the grid looks as one that is decoded to pixels does: its places grow by a stride from cell to cell, or
// its sizes are not below 0, as half of a raw grid's log sizes are.
func (e *yoloxChecker) decoded() bool {
	return e.pixels.grid() || float64(e.below) <= 2*fewBelow*float64(e.sizes)
}

// decodedToFractions says whether the grid looks as one that is decoded to parts of the input does. Cells that are all alike
// are raw ones without an image's influence.
func (e *yoloxChecker) decodedToFractions() bool {
	if e.sizes < manySizes || e.below > 0 {
		return false
	}
	return e.parts.grid() || e.places.within(0, 1, 0) && e.columns.high-e.columns.low > 0.5
}
