package postprocess

import (
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// yolox decodes the grid of YOLOX (Ge et al., 2021, https://arxiv.org/abs/2107.08430): for every stride s,
// from fine to coarse, one row per cell of a (height/s)×(width/s) grid in reading order. A row holds x, y, w, h,
// objectness and one score per class, the latter two after the sigmoid. The center is ((x + column)·s,
// (y + line)·s), the size is (eʷ·s, eʰ·s), in pixels of the input; the score is objectness × class. A definition may leave the
// size of the input open, which then is that of the image's transform.
type yolox struct {
	boxDecoder
	grid  source
	width int // numbers per row
}

// cellsOf returns the rows of an input of w×h pixels.
func cellsOf(strides []int, w, h int) (n int) {
	for _, s := range strides {
		n += (w / s) * (h / s)
	}
	return n
}

func newYOLOX(def repository.Definition, outputs []Tensor) (Decoder, error) {
	grid, shape, err := pick(outputs, "output.name", def.Output.Name, floatTypes...)
	if err != nil {
		return nil, err
	}
	rows := repository.Squeeze(shape, 2)
	if len(rows) != 2 || rows[1] >= 0 && rows[1] <= repository.YOLOXHead {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want [cells, 5 + classes]",
			grid.name, shape)
	}
	def.Output.BoxSpace = repository.SpaceInput
	y := &yolox{grid: grid, width: repository.YOLOXHead + def.Output.ClassFirst + len(def.Labels)}
	if !def.Input.Dynamic() {
		cells := cellsOf(def.Output.Strides, def.Input.Width, def.Input.Height)
		if rows[0] >= 0 && rows[0] != int64(cells) {
			return nil, fmt.Errorf("output.strides: %v over an input of %d×%d give %d cells, output %q of model.onnx has %d",
				def.Output.Strides, def.Input.Width, def.Input.Height, cells, grid.name, rows[0])
		}
	}
	switch {
	case rows[1] >= 0:
		y.width = int(rows[1])
		if err := checkClasses(&def, grid.name, rows[1]-repository.YOLOXHead); err != nil {
			return nil, err
		}
	case len(def.Labels) == 0:
		return nil, fmt.Errorf("labels: is required, since model.onnx leaves the number of classes of %q open", grid.name)
	}
	y.boxDecoder, err = newBoxDecoder(def, y.width-repository.YOLOXHead-def.Output.ClassFirst, nil)
	return y, err
}

// size returns that of the input.
func (y *yolox) size(transform geometry.Transform) (w, h int) {
	if y.def.Input.Dynamic() {
		return transform.InputW, transform.InputH
	}
	return y.def.Input.Width, y.def.Input.Height
}

// Decode returns the boxes whose score reaches the threshold. Every objectness must be a probability; the other numbers of a
// cell are only checked if its objectness reaches the threshold.
func (y *yolox) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return y.decode(outputs, transform, &p, func(to *detection) error {
		values, t, err := to.read(&y.grid, outputs)
		if err != nil {
			return err
		}
		w, h := y.size(transform)
		if n := cellsOf(y.def.Output.Strides, w, h); len(values) != n*y.width {
			return unusable(fmt.Errorf("output %q has %d values; %d cells of %d were expected of an input of %d×%d", t.Name, len(values), n, y.width, w, h))
		}
		q := newScoring(t.Name, false, to.score/maxProbability)
		for _, stride := range y.def.Output.Strides {
			columns, lines := w/stride, h/stride
			for cell := range columns * lines {
				row := values[:y.width]
				values = values[y.width:]
				if q.below(row[4]) {
					continue
				}
				if err := y.cell(to, &q, row, cell%columns, cell/columns, stride); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// cell adds a candidate if its score reaches the threshold.
func (y *yolox) cell(to *detection, q *scoring, row []float32, column, line, stride int) error {
	objectness := row[4]
	if !(objectness >= 0 && objectness <= maxProbability) {
		return unusable(fmt.Errorf("output %q has an objectness of %v; want 0 to 1", y.grid.name, objectness))
	}
	if objectness < to.score {
		return nil // class scores are at most 1
	}
	scores := row[repository.YOLOXHead+y.def.Output.ClassFirst:]
	class, best, err := q.best(scores)
	if err != nil || class < 0 {
		return err
	}
	size := float64(stride)
	cx, cy := (float64(row[0])+float64(column))*size, (float64(row[1])+float64(line))*size
	box := corners(repository.BoxCXCYWH, cx, cy, math.Exp(float64(row[2]))*size, math.Exp(float64(row[3]))*size)
	if !y.def.Output.MultiLabel {
		return to.addBox(class, objectness*best, box)
	}
	for class, v := range scores {
		if err := to.addBox(class, objectness*v, box); err != nil {
			return err
		}
	}
	return nil
}
