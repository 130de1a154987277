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
// (y + line)·s), the size is (eʷ·s, eʰ·s), in pixels of the input; the score is objectness × class.
type yolox struct {
	def   repository.Definition
	grid  source
	cells int // rows
	width int // numbers per row
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
	y := &yolox{def: def, grid: grid, width: repository.YOLOXHead + def.Output.ClassFirst + len(def.Labels)}
	for _, s := range def.Output.Strides {
		y.cells += (def.Input.Width / s) * (def.Input.Height / s)
	}
	if rows[0] >= 0 && rows[0] != int64(y.cells) {
		return nil, fmt.Errorf("output.strides: %v over an input of %d×%d give %d cells, output %q of model.onnx has %d",
			def.Output.Strides, def.Input.Width, def.Input.Height, y.cells, grid.name, rows[0])
	}
	if rows[1] >= 0 {
		y.width = int(rows[1])
		return y, checkClasses(&def, grid.name, rows[1]-repository.YOLOXHead)
	}
	if len(def.Labels) == 0 {
		return nil, fmt.Errorf("labels: is required, since model.onnx leaves the number of classes of %q open", grid.name)
	}
	return y, nil
}

// Decode returns the boxes whose score reaches the threshold. Every objectness must be a probability; the other numbers of a
// cell are only checked if its objectness reaches the threshold.
func (y *yolox) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	limits, err := p.detection(&y.def.Output)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	t, err := y.grid.read(outputs)
	if err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.reset()
	var values []float32
	values, s.floats = t.floats(s.floats)
	if len(values) != y.cells*y.width {
		return nil, unusable(fmt.Errorf("output %q has %d values; %d cells of %d were expected", t.Name, len(values), y.cells, y.width))
	}
	for _, stride := range y.def.Output.Strides {
		columns, lines := y.def.Input.Width/stride, y.def.Input.Height/stride
		for cell := range columns * lines {
			row := values[:y.width]
			values = values[y.width:]
			if err := y.cell(s, row, cell%columns, cell/columns, stride, limits.score); err != nil {
				return nil, err
			}
		}
	}
	return s.detected(limits, &y.def, transform), nil
}

// cell adds a candidate if its score reaches the threshold.
func (y *yolox) cell(s *scratch, row []float32, column, line, stride int, threshold float32) error {
	objectness := row[4]
	if !(objectness >= 0 && objectness <= maxProbability) {
		return unusable(fmt.Errorf("output %q has an objectness of %v; want 0 to 1", y.grid.name, objectness))
	}
	if objectness < threshold {
		return nil // class scores are at most 1
	}
	class, best, err := bestClass(row[repository.YOLOXHead+y.def.Output.ClassFirst:], y.grid.name)
	if err != nil {
		return err
	}
	score := objectness * best
	if score < threshold {
		return nil
	}
	size := float64(stride)
	cx, cy := (float64(row[0])+float64(column))*size, (float64(row[1])+float64(line))*size
	w, h := math.Exp(float64(row[2]))*size, math.Exp(float64(row[3]))*size
	box := corners(repository.BoxCXCYWH, cx, cy, w, h)
	if !box.finite() {
		return notFinite(y.grid.name)
	}
	s.add(candidate{box, class}, score)
	return nil
}

// maxProbability allows for products rounded in float16.
const maxProbability = 1 + 1e-2

// bestClass returns the highest of scores, which must be probabilities.
func bestClass(scores []float32, output string) (class int, best float32, err error) {
	best = -1
	for i, v := range scores {
		if !(v >= 0 && v <= maxProbability) {
			return 0, 0, unusable(fmt.Errorf("output %q has a score of %v; want 0 to 1", output, v))
		}
		if v > best {
			class, best = i, v
		}
	}
	return class, best, nil
}
