package postprocess

import (
	"errors"
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// boxes decodes outputs of finished boxes: boxes [n,4], with scores [n] and classes [n], or with scores [n,classes], where
// the highest counts. With scores [n] and no classes every box has the first class.
type boxes struct {
	boxDecoder
	boxes, scores, numbers source // numbers of classes
	hasClasses             bool
	perBox                 int // scores per box; 1: [n]
}

func newBoxes(def repository.Definition, outputs []Tensor, x extra) (Decoder, error) {
	o := def.Output
	b := &boxes{boxDecoder: boxDecoder{def: def}, hasClasses: o.Classes != ""}
	var errs [3]error
	var boxShape, scoreShape, classShape []int64
	b.boxes, boxShape, errs[0] = pick(outputs, "output.boxes", o.Boxes, numberTypes...)
	b.scores, scoreShape, errs[1] = pick(outputs, "output.scores", o.Scores, floatTypes...)
	if b.hasClasses {
		b.numbers, classShape, errs[2] = pick(outputs, "output.classes", o.Classes, numberTypes...)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	box, scores, classes := b.withNumber(repository.Squeeze(boxShape, 2), scoreShape, classShape)
	if err := b.checkShapes(box, scores, classes); err != nil {
		return nil, err
	}
	number := len(def.Labels)
	if b.perBox > 1 {
		number = b.perBox - o.ClassFirst
	}
	var err error
	b.boxDecoder, err = newBoxDecoder(def, number, x)
	return b, err
}

// withNumber restores the number of boxes, as open, in shapes that lack it: it was 1 in every trial run and was taken for the
// batch dimension.
func (b *boxes) withNumber(box, scores, classes []int64) (ofBoxes, ofScores, ofClasses []int64) {
	lost := len(box) == 1
	if lost {
		box = append([]int64{-1}, box...)
	}
	if len(scores) == 0 || len(box) > 0 && box[0] <= 1 && b.isRowOfTable(scores, lost) {
		scores = append([]int64{-1}, scores...)
	}
	if len(classes) == 0 {
		classes = []int64{-1}
	}
	return box, scores, classes
}

// isRowOfTable reports whether scores are one row of a table [n,classes] without its n; lost says that the boxes lack theirs.
func (b *boxes) isRowOfTable(scores []int64, lost bool) bool {
	if b.hasClasses || len(scores) != 1 || scores[0] < 2 {
		return false
	}
	labels := len(b.def.Labels)
	return lost || labels > 1 && scores[0] == int64(labels+b.def.Output.ClassFirst)
}

// checkShapes compares the shapes of the three outputs with each other and with the labels.
func (b *boxes) checkShapes(box, scores, classes []int64) error {
	var errs []error
	bad := func(key, name string, shape []int64, allowed string) {
		errs = append(errs, fmt.Errorf("%s: rows of %q in model.onnx have the shape %v; want %s", key, name, shape, allowed))
	}
	if len(box) != 2 || box[1] != 4 && box[1] != -1 {
		bad("output.boxes", b.boxes.name, box, "[n,4]")
		return errors.Join(errs...)
	}
	n := box[0]
	b.perBox = 1
	table, flat := repository.Squeeze(scores, 2), repository.Squeeze(scores, 1)
	switch {
	case !b.hasClasses && len(table) == 2 && table[1] > 1 && !differ(table[0], n):
		b.perBox = int(table[1])
		errs = append(errs, checkClasses(&b.def, b.scores.name, table[1]))
	case len(flat) != 1 || differ(flat[0], n):
		bad("output.scores", b.scores.name, scores, fmt.Sprintf("[n], or [n,classes] without output.classes, with n = %d as in %q", n, b.boxes.name))
	case !b.hasClasses && len(b.def.Labels) > 1:
		errs = append(errs, fmt.Errorf("output.classes: is required: %s has %d labels, but output %q of model.onnx has one score per box",
			b.def.LabelsFile, len(b.def.Labels), b.scores.name))
	}
	if flat := repository.Squeeze(classes, 1); b.hasClasses && (len(flat) != 1 || differ(flat[0], n)) {
		bad("output.classes", b.numbers.name, classes, fmt.Sprintf("[n], with n = %d as in %q", n, b.boxes.name))
	}
	return errors.Join(errs...)
}

// differ compares two sizes; -1 is open.
func differ(a, b int64) bool { return a >= 0 && b >= 0 && a != b }

// Decode returns the boxes whose score reaches the threshold. Other boxes are not checked, but every score must be a
// probability.
func (b *boxes) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return b.decode(outputs, transform, &p, func(to *detection) error {
		rows, scores, classes, err := b.read(to.scratch, outputs)
		if err != nil {
			return err
		}
		to.output, to.objects = b.boxes.name, len(rows)/4
		q := newScoring(b.scores.name, false, to.score)
		background := b.background()
		for i := 0; len(scores) > 0; i++ {
			if b.perBox == 1 && q.below(scores[0]) {
				scores = scores[1:]
				continue
			}
			to.index = i
			if err := b.add(to, &q, rows[4*i:4*i+4], scores[background:b.perBox], classes, i); err != nil {
				return err
			}
			scores = scores[b.perBox:]
		}
		return nil
	})
}

// add adds box i if its best class, or with multi_label a class, reaches the threshold, unless its class is background.
func (b *boxes) add(to *detection, q *scoring, row, scores []float32, classes *Tensor, i int) error {
	class, best, err := q.best(scores)
	if err != nil || class < 0 || best < to.score {
		return err
	}
	if classes != nil {
		n, ok := classes.integer(i)
		if class, err = b.class(classes.Name, n, ok); err != nil || class < 0 {
			return err
		}
	}
	if !b.def.Output.MultiLabel || classes != nil {
		return to.add(class, best, row[0], row[1], row[2], row[3])
	}
	for class, score := range scores {
		if err := to.add(class, score, row[0], row[1], row[2], row[3]); err != nil {
			return err
		}
	}
	return nil
}

// background returns the number of scores per box that belong to background classes.
func (b *boxes) background() int {
	if b.perBox > 1 {
		return b.def.Output.ClassFirst
	}
	return 0
}

// read checks that the three tensors of a row agree. classes is nil if there are none.
func (b *boxes) read(s *scratch, outputs []Tensor) (rows, scores []float32, classes *Tensor, err error) {
	rows, box, err := b.boxes.floatsOf(&s.floats, outputs)
	if err != nil {
		return nil, nil, nil, err
	}
	scores, score, err := b.scores.floatsOf(&s.more, outputs)
	if err != nil {
		return nil, nil, nil, err
	}
	n := len(rows) / 4
	if len(rows) != 4*n || len(scores) != n*b.perBox {
		return nil, nil, nil, unusable(fmt.Errorf("%d values in %q do not match %d in %q", len(rows), box.Name, len(scores), score.Name))
	}
	if !b.hasClasses {
		return rows, scores, nil, nil
	}
	classes, err = b.numbers.read(outputs)
	if err == nil && elements(classes.Shape) != int64(n) {
		err = unusable(fmt.Errorf("%q has %d classes for %d boxes", classes.Name, elements(classes.Shape), n))
	}
	return rows, scores, classes, err
}
