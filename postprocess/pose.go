package postprocess

import (
	"errors"
	"fmt"

	"fovea/internal/repository"
)

// Keypoint is a point of an object, in pixels of the image, clipped to it.
type Keypoint struct {
	Name string  `json:"name"`
	X    float64 `json:"x"`
	Y    float64 `json:"y"`
	// Visibility is the model's number for whether the point is seen, usually a probability; nil if it has none.
	Visibility *float64 `json:"visibility,omitempty"`
	// Score is that of the point, where a separate output has it; usually a logit.
	Score *float64 `json:"score,omitempty"`
}

// PosedBox is an object with its points, in the order of the definition's keypoints.
type PosedBox struct {
	Box
	Keypoints []Keypoint `json:"keypoints"`
}

// Posed holds the objects of an image with their points, best first.
type Posed struct {
	Boxes []PosedBox `json:"boxes"`
	// Skeleton lists the pairs of points that are connected, by their numbers.
	Skeleton [][]int `json:"skeleton"`
	Frame
}

func (*Posed) prediction() {}

// Len implements Objects.
func (p *Posed) Len() int { return len(p.Boxes) }

// Box implements Objects.
func (p *Posed) Box(i int) Box { return p.Boxes[i].Box }

// keypoints is the extra of points: in the row of an object, after its classes, or in an output [n,k,2] or [n,k,3].
type keypoints struct {
	def            *repository.PointOutput
	points, scores source
	separate       bool // the points are an output
	hasScores      bool
}

func newKeypoints(def *repository.Definition, outputs []Tensor) (extra, error) {
	k := &keypoints{def: &def.Output.Point, separate: def.Output.Point.Points != "", hasScores: def.Output.Point.Scores != ""}
	if !k.separate {
		return k, nil
	}
	var errs [2]error
	var shape []int64
	k.points, shape, errs[0] = pick(outputs, "output.points", k.def.Points, floatTypes...)
	if k.hasScores {
		k.scores, _, errs[1] = pick(outputs, "output.point_scores", k.def.Scores, floatTypes...)
	}
	if n, want := len(shape), int64(len(k.def.Keypoints)); errs[0] == nil && (n < 2 || differ(shape[n-2], want) || differ(shape[n-1], int64(k.def.Values))) {
		errs[0] = fmt.Errorf("output.keypoints: there are %d names with %d numbers each, but rows of %q in model.onnx have the shape %v; want [n,%[1]d,%[2]d]",
			want, k.def.Values, k.points.name, shape)
	}
	return k, errors.Join(errs[:]...)
}

func (k *keypoints) tail() int {
	if k.separate {
		return 0
	}
	return len(k.def.Keypoints) * k.def.Values
}

func (k *keypoints) encodings() []string { return nil }

func (k *keypoints) finish(to *detection, outputs []Tensor) (Prediction, error) {
	found := to.detected(&to.limits, to.decoder.def.Labels, to.transform)
	out := &Posed{Boxes: make([]PosedBox, len(found.Boxes)), Skeleton: k.def.Skeleton, Frame: found.frame()}
	if out.Skeleton == nil {
		out.Skeleton = [][]int{}
	}
	var scores []float32
	if k.separate {
		var err error
		if to.tail, scores, err = k.read(to, outputs); err != nil {
			return nil, err
		}
	}
	numbers := make([]float64, 2*len(found.Boxes)*len(k.def.Keypoints)) // visibility and score of each point
	for i, b := range found.Boxes {
		points := make([]Keypoint, len(k.def.Keypoints))
		row := to.origin(i)
		if (row+1)*to.tail.perRow > len(to.tail.values) && k.separate {
			return nil, unusable(fmt.Errorf("output %q has fewer points than boxes", k.points.name))
		}
		for j := range points {
			of := numbers[:2:2]
			numbers = numbers[2:]
			if err := k.point(&points[j], to, row, j, of); err != nil {
				return nil, err
			}
			if at := row*len(points) + j; scores != nil && at < len(scores) && scores[at]-scores[at] == 0 {
				of[1] = float64(scores[at])
				points[j].Score = &of[1]
			}
		}
		out.Boxes[i] = PosedBox{b, points}
	}
	return out, nil
}

// point reads a point of an object.
func (k *keypoints) point(p *Keypoint, to *detection, row, j int, numbers []float64) error {
	at := j * k.def.Values
	x, y := float64(to.tail.at(row, at))*to.width, float64(to.tail.at(row, at+1))*to.height
	if x-x+y-y != 0 {
		return notFinite(to.output)
	}
	p.Name = k.def.Keypoints[j]
	p.X, p.Y = to.transform.ToImage(x, y)
	if k.def.Values > 2 {
		if numbers[0] = float64(to.tail.at(row, at+2)); numbers[0]-numbers[0] != 0 {
			return notFinite(to.output)
		}
		p.Visibility = &numbers[0]
	}
	return nil
}

// read reads the outputs of points and of their scores.
func (k *keypoints) read(to *detection, outputs []Tensor) (t tail, scores []float32, err error) {
	values, _, err := k.points.floatsOf(&to.floats, outputs) // the boxes are selected
	if err != nil {
		return t, nil, err
	}
	perRow := len(k.def.Keypoints) * k.def.Values
	if len(values)%perRow != 0 {
		return t, nil, unusable(fmt.Errorf("output %q has %d numbers, which are no points of %d", k.points.name, len(values), perRow))
	}
	to.output = k.points.name
	if k.hasScores {
		scores, _, err = k.scores.floatsOf(&to.more, outputs)
	}
	return tail{values, 0, perRow, 1}, scores, err
}
