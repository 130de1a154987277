package postprocess

import (
	"math"

	"fovea/preprocess/geometry"
)

// Limits of what the numbers of a raw YOLOX grid can be.
const (
	// beyondSense is how many times the input's side a box can be, in no trained model: its boxes end near the picture.
	beyondSense = 100
	// manySizes is how many sizes cannot all be fractions by chance: half of all cells' log sizes are below 0.
	manySizes = 64
)

// yoloxExaminer examines a grid.
type yoloxExaminer struct {
	y        *yolox
	scores   span
	places   span // x, y, w and h of cells that are not all zero
	sizes    int  // sizes that are not 0
	rows     int
	absurd   int     // rows with a box beyond all sense
	largest  float64 // side of a box, in sides of the input
	buffer   []float32
	negative bool // a size is below 0
}

func (y *yolox) examiner() examiner { return &yoloxExaminer{y: y} }

func (e *yoloxExaminer) add(outputs []Tensor, _ geometry.Fit, _ Side) {
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
		for range (e.y.def.Input.Width / stride) * (e.y.def.Input.Height / stride) {
			largest = max(largest, e.cell(values[:e.y.width], float64(stride)))
			values = values[e.y.width:]
		}
	}
	e.rows++
	e.largest = max(e.largest, largest)
	if largest > beyondSense {
		e.absurd++
	}
}

// cell takes the numbers of a cell, and returns its box's larger side in sides of the input.
func (e *yoloxExaminer) cell(row []float32, stride float64) float64 {
	e.scores.add(row[4])
	e.scores.add(row[yoloxHead+e.y.def.Output.ClassFirst:]...)
	if row[2] != 0 || row[3] != 0 {
		e.places.add(row[:4]...)
		e.sizes++
		e.negative = e.negative || row[2] < 0 || row[3] < 0
	}
	w := math.Exp(float64(row[2])) * stride / float64(e.y.def.Input.Width)
	h := math.Exp(float64(row[3])) * stride / float64(e.y.def.Input.Height)
	if math.IsNaN(w) || math.IsNaN(h) {
		return 0
	}
	return max(w, h)
}

func (e *yoloxExaminer) conclude(f *Findings) {
	if e.rows == 0 {
		return
	}
	output := e.y.grid.name
	e.scores.scores(f, "output.name", output, true)
	switch {
	case e.absurd > 0:
		f.judge(e.absurd == e.rows, "output.decode: says yolox, which decodes a raw grid, but then boxes of output %q would be up to "+
			"%.3g times as large as the input, in %d of %d trial runs: they seem to be decoded already. Export the model without its "+
			"decoding (YOLOX: without --decode_in_inference)", output, e.largest, e.absurd, e.rows)
	case e.sizes >= manySizes && !e.negative && e.places.within(0, 1, 0):
		f.doubtful("output.decode: says yolox, which decodes a raw grid, but all places and sizes of output %q lie between 0 and 1 in "+
			"trial runs: they seem to be decoded already", output)
	}
}
