package postprocess

import (
	"errors"
	"fmt"

	"fovea/internal/config"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// yolov5Raw decodes the raw grids of YOLOv5 from version 6 on, and of YOLOv7 (models/yolo.py, Detect.forward): one output per
// stride s, [anchors,h,w,5 + classes] or [anchors·(5 + classes),h,w]. With all numbers after the sigmoid, the center is
// ((2x − 0.5 + column)·s, (2y − 0.5 + line)·s), the size is ((2w)²·anchor width, (2h)²·anchor height), in pixels of the input;
// the score is objectness × class.
type yolov5Raw struct {
	boxDecoder
	grids  []yoloGrid
	width  int // numbers of a box: 5 + classes
	logits bool
}

// yoloGrid is the output of one stride.
type yoloGrid struct {
	source
	stride       int
	anchors      []float64 // width and height of each, in pixels
	channelFirst bool      // [anchors·(5 + classes),h,w]
}

func newYOLOv5Raw(def repository.Definition, outputs []Tensor) (Decoder, error) {
	o := &def.Output
	def.Output.BoxSpace = repository.SpaceInput
	y := &yolov5Raw{logits: o.Activation == repository.ActivationSigmoid}
	var errs []error
	for i, stride := range o.Strides {
		n := len(o.Anchors) / len(o.Strides)
		g := yoloGrid{stride: stride, anchors: o.Anchors[i*n : (i+1)*n]}
		errs = append(errs, y.addGrid(&def, g, config.Index("output.names", i), o.Names[i], outputs))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	classes := y.width - repository.YOLOXHead
	if err := checkClasses(&def, y.grids[0].name, int64(classes)); err != nil {
		return nil, err
	}
	var err error
	y.boxDecoder, err = newBoxDecoder(def, classes-o.ClassFirst, nil)
	return y, err
}

// addGrid adds the output of a stride after checking its shape.
func (y *yolov5Raw) addGrid(def *repository.Definition, g yoloGrid, key, name string, outputs []Tensor) (err error) {
	var full []int64
	if g.source, full, err = pick(outputs, key, name, floatTypes...); err != nil {
		return err
	}
	anchors := int64(len(g.anchors) / 2)
	shape := full
	if len(shape) == 3 && shape[0] > 0 && shape[0]%anchors == 0 {
		g.channelFirst = true
		shape = []int64{anchors, shape[1], shape[2], shape[0] / anchors}
	}
	if len(shape) != 4 || differ(shape[0], anchors) || shape[3] <= repository.YOLOXHead {
		return fmt.Errorf("%s: rows of %q in model.onnx have the shape %v; want [%d,h,w,5 + classes] or [%d·(5 + classes),h,w] for %[4]d anchors",
			key, name, full, anchors, anchors)
	}
	if h, w := int64(def.Input.Height/g.stride), int64(def.Input.Width/g.stride); !def.Input.Dynamic() && (differ(shape[1], h) || differ(shape[2], w)) {
		return fmt.Errorf("output.strides: %d over an input of %d×%d gives a grid of %d×%d, output %q of model.onnx has %d×%d",
			g.stride, def.Input.Width, def.Input.Height, w, h, name, shape[2], shape[1])
	}
	if y.width != 0 && y.width != int(shape[3]) {
		return fmt.Errorf("%s: %q has %d numbers for a box, %q has %d", key, name, shape[3], y.grids[0].name, y.width)
	}
	y.width = int(shape[3])
	y.grids = append(y.grids, g)
	return nil
}

// Decode returns the boxes whose score reaches the threshold. Every objectness must be a number; the other numbers of a box
// are only checked if its objectness reaches the threshold.
func (y *yolov5Raw) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return y.decode(outputs, transform, &p, func(to *detection) error {
		for i := range y.grids {
			if err := y.grid(to, &y.grids[i], outputs); err != nil {
				return err
			}
		}
		return nil
	})
}

// grid adds the boxes of one stride, by anchor, line and column, as in YOLOv5.
func (y *yolov5Raw) grid(to *detection, g *yoloGrid, outputs []Tensor) error {
	values, t, err := to.read(&g.source, outputs)
	if err != nil {
		return err
	}
	columns, lines := to.transform.InputW/g.stride, to.transform.InputH/g.stride
	cells, anchors := columns*lines, len(g.anchors)/2
	if len(values) != anchors*cells*y.width {
		return unusable(fmt.Errorf("output %q has the shape %v; %d×%d cells of %d anchors with %d numbers were expected",
			t.Name, t.Shape, columns, lines, anchors, y.width))
	}
	perCell, perNumber := y.width, 1 // distances in values
	if g.channelFirst {
		perCell, perNumber = 1, cells
	}
	q, classes := newScoring(t.Name, y.logits, to.score), newScoring(t.Name, y.logits, to.score/maxProbability)
	for anchor := range anchors {
		of := values[anchor*cells*y.width : (anchor+1)*cells*y.width]
		for cell := range cells {
			v := of[cell*perCell+4*perNumber]
			if q.below(v) {
				continue
			}
			objectness, err := q.probability(v)
			if err != nil {
				return err
			}
			to.row = to.row[:0]
			for k := range y.width {
				to.row = append(to.row, of[cell*perCell+k*perNumber])
			}
			box, err := y.box(to.row, &q, cell%columns, cell/columns, g, anchor)
			if err == nil {
				err = y.add(to, box, objectness, to.row[repository.YOLOXHead+y.def.Output.ClassFirst:], &classes)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (y *yolov5Raw) box(row []float32, q *scoring, column, line int, g *yoloGrid, anchor int) (rect, error) {
	var v [4]float64
	for i := range v {
		p, err := q.probability(row[i])
		if err != nil {
			return rect{}, err
		}
		v[i] = float64(p)
	}
	s, w, h := float64(g.stride), 2*v[2], 2*v[3]
	return corners(repository.BoxCXCYWH, (2*v[0]-0.5+float64(column))*s, (2*v[1]-0.5+float64(line))*s,
		w*w*g.anchors[2*anchor], h*h*g.anchors[2*anchor+1]), nil
}

func (y *yolov5Raw) add(to *detection, box rect, objectness float32, scores []float32, q *scoring) error {
	class, best, err := q.best(scores)
	if err != nil || class < 0 {
		return err
	}
	if !y.def.Output.MultiLabel {
		return to.addBox(class, objectness*best, box)
	}
	for class, v := range scores {
		score, _ := q.probability(v) // checked by best
		if err := to.addBox(class, objectness*score, box); err != nil {
			return err
		}
	}
	return nil
}
