package postprocess

import (
	"errors"
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// detr decodes queries: boxes [n,4] and class logits [n,classes]. With activation: sigmoid (Deformable DETR and its
// successors, RT-DETR, D-FINE, DEIM, RF-DETR) every pair of a query and a class is a box, and the best max_boxes are detected;
// with softmax (DETR, YOLOS) the last class is no object, and a query is a box of its best class. This is what
// post_process_object_detection does in Hugging Face's image processors of these models.
type detr struct {
	boxDecoder
	boxes, logits source
	width         int // logits of a query
	softmax       bool
}

func newDETR(def repository.Definition, outputs []Tensor, x extra) (Decoder, error) {
	o := &def.Output
	d := &detr{softmax: o.Activation == repository.ActivationSoftmax}
	var errs [2]error
	var box, logits []int64
	d.boxes, box, errs[0] = pick(outputs, "output.boxes", o.Boxes, floatTypes...)
	d.logits, logits, errs[1] = pick(outputs, "output.scores", o.Scores, floatTypes...)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	box, logits = repository.Squeeze(box, 2), repository.Squeeze(logits, 2)
	if len(box) != 2 || box[1] != 4 && box[1] != -1 {
		return nil, fmt.Errorf("output.boxes: rows of %q in model.onnx have the shape %v; want [n,4]", d.boxes.name, box)
	}
	if len(logits) != 2 || differ(logits[0], box[0]) || logits[1] < 1 {
		return nil, fmt.Errorf("output.scores: rows of %q in model.onnx have the shape %v; want [n,classes], with n = %d as in %q",
			d.logits.name, logits, box[0], d.boxes.name)
	}
	d.width = int(logits[1])
	if d.objects() < 1 {
		return nil, fmt.Errorf("output.activation: softmax needs a class for no object, but output %q has %d classes", d.logits.name, d.width)
	}
	if err := checkClasses(&def, d.logits.name, int64(d.objects())); err != nil {
		return nil, err
	}
	var err error
	d.boxDecoder, err = newBoxDecoder(def, d.objects()-o.ClassFirst, x)
	return d, err
}

// objects returns the number of classes without no object.
func (d *detr) objects() int {
	if d.softmax {
		return d.width - 1
	}
	return d.width
}

// Decode returns the boxes whose score reaches the threshold. Other boxes are not checked, but no logit may be NaN.
func (d *detr) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return d.decode(outputs, transform, &p, func(to *detection) error {
		box, logits, err := d.read(to.scratch, outputs)
		if err != nil {
			return err
		}
		to.output, to.objects = d.boxes.name, len(box)/4
		q := newScoring(d.logits.name, true, to.score)
		for ; len(logits) > 0; box, logits = box[4:], logits[d.width:] {
			if d.softmax {
				err = d.bestClass(to, box, logits[:d.width])
			} else {
				err = d.pairs(to, box, logits[d.def.Output.ClassFirst:d.width], &q)
			}
			if err != nil {
				return err
			}
			to.index++
		}
		return nil
	})
}

// read checks that the two tensors of a row agree.
func (d *detr) read(s *scratch, outputs []Tensor) (boxes, logits []float32, err error) {
	boxes, box, err := d.boxes.floatsOf(&s.floats, outputs)
	if err != nil {
		return nil, nil, err
	}
	logits, logit, err := d.logits.floatsOf(&s.more, outputs)
	if err != nil {
		return nil, nil, err
	}
	if n := len(boxes) / 4; len(boxes) != 4*n || len(logits) != n*d.width {
		return nil, nil, unusable(fmt.Errorf("%d values in %q do not match %d in %q", len(boxes), box.Name, len(logits), logit.Name))
	}
	return boxes, logits, nil
}

// pairs adds the box of a query for each class.
func (d *detr) pairs(to *detection, box, logits []float32, q *scoring) error {
	for class, v := range logits {
		if q.below(v) {
			continue
		}
		score, err := q.probability(v)
		if err == nil {
			err = to.add(class, score, box[0], box[1], box[2], box[3])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bestClass adds the box of a query for its best class.
func (d *detr) bestClass(to *detection, box, logits []float32) error {
	if !allFinite(logits) {
		return notFinite(d.logits.name)
	}
	first := d.def.Output.ClassFirst
	best, high := first, logits[0]
	for i, v := range logits {
		high = max(high, v)
		if i > first && i < d.objects() && v > logits[best] {
			best = i
		}
	}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v - high))
	}
	return to.add(best-first, float32(math.Exp(float64(logits[best]-high))/sum), box[0], box[1], box[2], box[3])
}
