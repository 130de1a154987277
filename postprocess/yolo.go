package postprocess

import (
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// yolo decodes the boxes of all cells, after anchors and strides are applied, in one output: [n, 4 + classes], or turned over,
// [4 + classes, n], as Ultralytics exports YOLOv8, v9 and 11; with an objectness after the box, [n, 5 + classes], it is
// YOLOv5, v6, v7 or a decoded YOLOX, whose score is objectness × class.
type yolo struct {
	boxDecoder
	table   source
	width   int // numbers of a box
	head    int // of these, before the class scores
	end     int // of these, before what follows the class scores
	turned  bool
	logits  bool
	several bool // a box for every class
}

func newYOLO(def repository.Definition, outputs []Tensor, x extra) (Decoder, error) {
	table, full, err := pick(outputs, "output.name", def.Output.Name, floatTypes...)
	if err != nil {
		return nil, err
	}
	y := &yolo{table: table, head: 4, logits: def.Output.Activation == repository.ActivationSigmoid, several: def.Output.MultiLabel}
	want := "[4 + classes, n] or [n, 4 + classes]"
	if def.Output.Decode == repository.DecodeYOLOv5 {
		y.head, want = repository.YOLOXHead, "[n, 5 + classes]"
	}
	after := tailOf(x)
	if after > 0 {
		want = fmt.Sprintf("[4 + classes + %[1]d, n] or [n, 4 + classes + %[1]d]", after)
	}
	shape := repository.Squeeze(full, 2)
	if len(shape) == 2 {
		y.turned = y.head == 4 && isTurned(shape, labeledWidth(&def, y.head+after))
		if y.turned {
			shape = []int64{shape[1], shape[0]}
		}
	}
	if len(shape) != 2 || shape[1] <= int64(y.head+after) {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want %s", table.name, full, want)
	}
	y.width = int(shape[1])
	y.end = y.width - after
	classes := y.end - y.head
	if err := checkClasses(&def, table.name, int64(classes)); err != nil {
		return nil, err
	}
	y.boxDecoder, err = newBoxDecoder(def, classes-def.Output.ClassFirst, x)
	return y, err
}

// labeledWidth returns how many numbers a box has according to the labels; 0 without labels.
func labeledWidth(def *repository.Definition, head int) int64 {
	if len(def.Labels) == 0 {
		return 0
	}
	return int64(head + def.Output.ClassFirst + len(def.Labels))
}

// isTurned reports whether boxes are columns: the side that fits the labels is the number of values of a box; if both or neither
// do, it is the smaller one, an open side being the number of boxes.
func isTurned(shape []int64, labeled int64) bool {
	first, second := labeled > 0 && shape[0] == labeled, labeled > 0 && shape[1] == labeled
	if first != second {
		return first
	}
	return shape[0] >= 0 && (shape[1] < 0 || shape[0] <= shape[1])
}

// Decode returns the boxes whose score reaches the threshold. Every score must be a probability; boxes, and in YOLOv5 the
// scores of classes, are only checked where the score, or the objectness, reaches the threshold.
func (y *yolo) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return y.decode(outputs, transform, &p, func(to *detection) error {
		values, t, err := to.read(&y.table, outputs)
		if err != nil {
			return err
		}
		n := len(values) / y.width
		if len(values) != n*y.width || !y.fits(t.Shape) {
			return unusable(fmt.Errorf("output %q has the shape %v, which does not fit boxes of %d numbers", t.Name, t.Shape, y.width))
		}
		scores := newScoring(t.Name, y.logits, to.score)
		to.tail = tail{values, y.end, y.width, 1}
		if y.turned {
			to.tail = tail{values, y.end, 1, n}
		}
		switch {
		case y.turned:
			return y.columns(to, values, n, scores)
		case y.head == 4:
			return y.rows(to, values, scores)
		}
		return y.rowsWithObjectness(to, values, scores)
	})
}

// fits reports whether a shape has the numbers of a box where the shape at load had them.
func (y *yolo) fits(shape []int64) bool {
	shape = repository.Squeeze(shape, 2)
	side := 1
	if y.turned {
		side = 0
	}
	return len(shape) == 2 && shape[side] == int64(y.width)
}

// columns decodes [4 + classes, n].
func (y *yolo) columns(to *detection, values []float32, n int, q scoring) error {
	first := y.head + y.def.Output.ClassFirst
	best := to.bestOfColumns(n)
	for class := range y.end - first {
		at := (first + class) * n
		if err := best.add(values[at:at+n], int32(class), &q); err != nil {
			return err
		}
	}
	for i, top := range best {
		if top.class < 0 {
			continue
		}
		to.index = i
		if !y.several {
			if err := to.add(int(top.class), top.score, values[i], values[n+i], values[2*n+i], values[3*n+i]); err != nil {
				return err
			}
			continue
		}
		for class := range y.end - first {
			score, _ := q.probability(values[(first+class)*n+i]) // checked above
			if err := to.add(class, score, values[i], values[n+i], values[2*n+i], values[3*n+i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// top is the best class of a box; -1: none reaches the threshold.
type top struct {
	class int32
	score float32
}

// tops are the best classes of boxes.
type tops []top

// bestOfColumns returns tops without a class.
func (s *scratch) bestOfColumns(n int) tops {
	if cap(s.tops) < n {
		s.tops = make(tops, n)
	}
	s.tops = s.tops[:n]
	for i := range s.tops {
		s.tops[i] = top{class: -1}
	}
	return s.tops
}

// add adds the scores of a class, which must be added in ascending order.
func (b tops) add(scores []float32, class int32, q *scoring) error {
	for i := q.next(scores, 0); i < len(scores); i = q.next(scores, i+1) {
		p, err := q.probability(scores[i])
		if err != nil {
			return err
		}
		if b[i].class < 0 || p > b[i].score {
			b[i] = top{class, p}
		}
	}
	return nil
}

// rows decodes [n, 4 + classes].
func (y *yolo) rows(to *detection, values []float32, q scoring) error {
	for ; len(values) > 0; values = values[y.width:] {
		if err := y.row(to, values[:y.width], 1, &q); err != nil {
			return err
		}
		to.index++
	}
	return nil
}

// rowsWithObjectness decodes [n, 5 + classes].
func (y *yolo) rowsWithObjectness(to *detection, values []float32, q scoring) error {
	classes := newScoring(q.output, q.logits, to.score/maxProbability)
	for ; len(values) > 0; values = values[y.width:] {
		row := values[:y.width]
		if q.below(row[4]) {
			continue
		}
		objectness, err := q.probability(row[4])
		if err != nil {
			return err
		}
		if objectness < to.score {
			continue
		}
		if err := y.row(to, row, objectness, &classes); err != nil {
			return err
		}
	}
	return nil
}

// row adds the box of a row for its best class, or for several.
func (y *yolo) row(to *detection, row []float32, factor float32, q *scoring) error {
	scores := row[y.head+y.def.Output.ClassFirst : y.end]
	class, best, err := q.best(scores)
	if err != nil || class < 0 {
		return err
	}
	if !y.several {
		return to.add(class, factor*best, row[0], row[1], row[2], row[3])
	}
	for class, v := range scores {
		score, _ := q.probability(v) // checked by best
		if err := to.add(class, factor*score, row[0], row[1], row[2], row[3]); err != nil {
			return err
		}
	}
	return nil
}
