package postprocess

import (
	"errors"
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// yunet decodes YuNet's faces: of each stride a probability of a face and an objectness for each cell, four numbers of the box and two
// for each point. The score is the square root of their product; centers and points are offsets from the cell's corner in strides, and
// sizes exponents (FaceDetectorYNImpl::postProcess in OpenCV's modules/objdetect/src/face_detect.cpp).
type yunet struct {
	boxDecoder
	strides []yunetStride
}

type yunetStride struct {
	stride                 int
	class, object, box, pt source
}

func newYuNet(def repository.Definition, outputs []Tensor, x extra) (Decoder, error) {
	y := &yunet{}
	var errs []error
	n := len(def.Output.Strides)
	for i, stride := range def.Output.Strides {
		s := yunetStride{stride: stride}
		for kind, to := range []*source{&s.class, &s.object, &s.box, &s.pt} {
			var err error
			at := kind*n + i
			*to, _, err = pick(outputs, fmt.Sprintf("output.names[%d]", at), def.Output.Names[at], floatTypes...)
			errs = append(errs, err)
		}
		y.strides = append(y.strides, s)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(def.Labels) > 1 {
		return nil, fmt.Errorf("labels: %s has %d labels, but YuNet has one class", def.LabelsFile, len(def.Labels))
	}
	var err error
	y.boxDecoder, err = newBoxDecoder(def, 1, x)
	return y, err
}

// Decode returns the faces whose score reaches the threshold.
func (y *yunet) Decode(outputs []Tensor, transform geometry.Transform, p Params) (Prediction, error) {
	return y.decode(outputs, transform, &p, func(to *detection) error {
		perFace := y.extra.tail()
		to.rows = to.rows[:0]
		for i := range y.strides {
			if err := y.stride(to, &y.strides[i], outputs); err != nil {
				return err
			}
		}
		to.tail = tail{to.rows, 0, perFace, 1}
		return nil
	})
}

// stride adds the faces of one stride, and their points to the scratch.
func (y *yunet) stride(to *detection, s *yunetStride, outputs []Tensor) error {
	columns, lines := (to.input.InputW+s.stride-1)/s.stride, (to.input.InputH+s.stride-1)/s.stride
	cells, perFace := columns*lines, y.extra.tail()
	class, _, errC := s.class.floatsOf(&to.floats, outputs)
	object, _, errO := s.object.floatsOf(&to.more, outputs)
	box, _, errB := s.box.floatsOf(&to.columns, outputs)
	points, _, errP := s.pt.floatsOf(&to.scratch.grid.values, outputs)
	if err := errors.Join(errC, errO, errB, errP); err != nil {
		return err
	}
	if len(class) != cells || len(object) != cells || len(box) != 4*cells || len(points) != perFace*cells {
		return unusable(fmt.Errorf("outputs of stride %d have %d, %d, %d and %d numbers; %d×%d cells were expected",
			s.stride, len(class), len(object), len(box), len(points), columns, lines))
	}
	to.output = s.box.name
	unit := float64(s.stride)
	for i := range cells {
		score := float32(math.Sqrt(probabilityOf(class[i]) * probabilityOf(object[i])))
		if score-score != 0 {
			return notFinite(s.class.name)
		}
		if !to.reached(0, score) {
			continue
		}
		x, y := float64(i%columns), float64(i/columns)
		b := box[4*i : 4*i+4]
		cx, cy := (x+float64(b[0]))*unit, (y+float64(b[1]))*unit
		w, h := math.Exp(float64(b[2]))*unit, math.Exp(float64(b[3]))*unit
		to.index = len(to.rows) / perFace
		for k, v := range points[perFace*i : perFace*(i+1)] {
			corner := x
			if k%2 == 1 {
				corner = y
			}
			to.rows = append(to.rows, float32((corner+float64(v))*unit))
		}
		if err := to.addBox(0, score, rect{cx - w/2, cy - h/2, cx + w/2, cy + h/2}); err != nil {
			return err
		}
	}
	return nil
}

// probabilityOf clips a number to 0 to 1, as OpenCV does; NaN stays.
func probabilityOf(v float32) float64 { return max(0, min(float64(v), 1)) }

func (y *yunet) trialCheck() TrialCheck {
	return &trialCheck{aspects: []aspect{&sameCheck{output: y.strides[0].class.name}},
		read: func(s *scratch, outputs []Tensor) (row trialRow, err error) {
			row.perBox = 1
			s.columns = s.columns[:0]
			for i := range y.strides {
				values, _, err := y.strides[i].class.floatsOf(&s.floats, outputs)
				if err != nil {
					return row, err
				}
				s.columns = append(s.columns, values...)
			}
			row.scores = s.columns
			return row, nil
		}}
}
