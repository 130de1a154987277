package postprocess

import (
	"fmt"
	"math"
	"slices"

	"fovea/internal/repository"
)

// Instance is an object with its mask.
type Instance struct {
	Box
	Mask *Mask `json:"mask"`
}

// Segmented holds the objects of an image with their masks, best first. Objects whose mask has no pixel are left out.
type Segmented struct {
	Boxes []Instance `json:"boxes"`
	Frame
}

func (*Segmented) prediction() {}

// Len implements Objects.
func (s *Segmented) Len() int { return len(s.Boxes) }

// Box implements Objects.
func (s *Segmented) Box(i int) Box { return s.Boxes[i].Box }

// instances is the extra of masks. With prototypes [m,h,w], an object has m factors after its classes, and its mask is where their sum is
// positive, at the image's size and within the box (process_mask_native in ultralytics/utils/ops.py). Otherwise each object has a mask, over
// its box (Mask R-CNN) or over the input.
type instances struct {
	def        *repository.Definition
	masks      source
	prototypes int     // 0: a mask for each object
	threshold  float32 // of the numbers in the output
}

func newInstances(def *repository.Definition, outputs []Tensor) (extra, error) {
	masks, full, err := pick(outputs, "output.masks", def.Output.Mask.Masks, floatTypes...)
	if err != nil {
		return nil, err
	}
	x := &instances{def: def, masks: masks, threshold: float32(def.Output.Mask.Threshold)}
	logit := float32(math.Log(def.Output.Mask.Threshold) - math.Log1p(-def.Output.Mask.Threshold))
	if def.Output.Mask.Space != "" {
		if def.Output.Mask.Activation == repository.ActivationSigmoid {
			x.threshold = logit
		}
		if len(full) < 2 {
			return nil, fmt.Errorf("output.masks: rows of %q in model.onnx have the shape %v; want [n,h,w] or [n,classes,h,w]", masks.name, full)
		}
		return x, nil
	}
	x.threshold = logit
	shape := repository.Squeeze(full, 3)
	if len(shape) != 3 || shape[0] < 1 {
		return nil, fmt.Errorf("output.masks: rows of %q in model.onnx have the shape %v; want prototypes [m,h,w]", masks.name, full)
	}
	x.prototypes = int(shape[0])
	return x, nil
}

func (x *instances) tail() int { return x.prototypes }

func (x *instances) encodings() []string {
	return []string{EncodingRLE, EncodingPolygon, EncodingPNG}
}

// layers are the numbers of masks: planes of lines × columns.
type layers struct {
	values         []float32
	lines, columns int
}

func (x *instances) finish(to *detection, outputs []Tensor) (Prediction, error) {
	found := to.detected(&to.limits, to.decoder.def.Labels, to.transform)
	l, err := x.read(to, outputs)
	if err != nil {
		return nil, err
	}
	out := &Segmented{Boxes: make([]Instance, 0, len(found.Boxes)), Frame: found.frame()}
	runs := 0
	for i, b := range found.Boxes {
		mask := &Mask{Width: found.Width, Height: found.Height, Encoding: to.encoding}
		if x.prototypes > 0 {
			mask.Runs = x.weighed(to, &l, i, b)
		} else if mask.Runs, err = x.own(to, &l, i, b); err != nil {
			return nil, err
		}
		if runs += len(mask.Runs); runs > maxRuns {
			return nil, unusable(errRagged)
		}
		if len(mask.Runs) > 1 {
			out.Boxes = append(out.Boxes, Instance{b, mask})
		}
	}
	return out, nil
}

// read reads the output of masks, whose numbers must be finite.
func (x *instances) read(to *detection, outputs []Tensor) (l layers, err error) {
	var t *Tensor
	buffer := &to.more // the scores are read
	if x.prototypes == 0 {
		buffer = &to.floats // so are the boxes
	}
	if l.values, t, err = x.masks.floatsOf(buffer, outputs); err != nil {
		return l, err
	}
	n := len(t.Shape)
	if n < 2 {
		return l, unusable(fmt.Errorf("output %q has the shape %v", t.Name, t.Shape))
	}
	l.lines, l.columns = int(t.Shape[n-2]), int(t.Shape[n-1])
	plane := l.lines * l.columns
	if x.prototypes > 0 && (plane == 0 || len(l.values) != x.prototypes*plane) {
		return l, unusable(fmt.Errorf("output %q has the shape %v; want %d prototypes", t.Name, t.Shape, x.prototypes))
	}
	if !allFinite(l.values) {
		return l, notFinite(t.Name)
	}
	return l, nil
}

// weighed returns the mask of an object with prototypes. Pixels whose index is not within the box are cut off, as crop_mask in
// ultralytics/utils/ops.py does.
func (x *instances) weighed(to *detection, l *layers, box int, b Box) []uint32 {
	r := region{int(math.Ceil(b.X1)), int(math.Ceil(b.Y1)), int(math.Ceil(b.X2)), int(math.Ceil(b.Y2))}
	if r.empty() {
		return nil
	}
	s := &to.scratch.grid
	g := to.over(l, r)
	s.values = slices.Grow(s.values[:0], g.width*g.height)[:g.width*g.height]
	g.values = s.values
	to.factors = to.factors[:0]
	for k := range x.prototypes {
		to.factors = append(to.factors, to.tail.at(to.origin(box), k))
	}
	g.weigh(l.values, to.factors, l.columns, l.lines)
	return s.maskOf(&g, r, x.threshold, to.input.Width, to.input.Height)
}

// over returns the part of a map over the input that a region of the image needs, without its numbers.
func (to *detection) over(l *layers, r region) field {
	t := to.input
	g := field{x: axisOf(t.ScaleX, t.OffsetX, l.columns, t.InputW), y: axisOf(t.ScaleY, t.OffsetY, l.lines, t.InputH)}
	var right, bottom int
	g.left, right = g.x.span(r.left, r.right, l.columns)
	g.top, bottom = g.y.span(r.top, r.bottom, l.lines)
	g.width, g.height = right-g.left+1, bottom-g.top+1
	return g
}

// own returns the mask that an output has for an object.
func (x *instances) own(to *detection, l *layers, box int, b Box) ([]uint32, error) {
	plane := l.lines * l.columns
	rows := to.objects
	if plane == 0 || rows == 0 || len(l.values)%(rows*plane) != 0 {
		return nil, unusable(fmt.Errorf("output %q has %d numbers, which are no masks of %d×%d for %d objects", x.masks.name, len(l.values), l.columns, l.lines, rows))
	}
	classes, of := len(l.values)/(rows*plane), 0
	if classes > 1 {
		if of = b.Class + x.def.Output.ClassFirst; of >= classes {
			return nil, unusable(fmt.Errorf("output %q has masks of %d classes, and an object is of class %d", x.masks.name, classes, of))
		}
	}
	at := (to.origin(box)*classes + of) * plane
	values := l.values[at : at+plane]
	if x.def.Output.Mask.Space == repository.MaskInput {
		return x.overInput(to, l, values), nil
	}
	return x.overBox(to, l, values, box, b), nil
}

// overInput returns the mask of numbers over the input. Only what the numbers above the threshold reach is looked at.
func (x *instances) overInput(to *detection, l *layers, values []float32) []uint32 {
	r := region{left: l.columns, top: l.lines}
	for line := range l.lines {
		for column, v := range values[line*l.columns : (line+1)*l.columns] {
			if v > x.threshold {
				r = region{min(r.left, column), min(r.top, line), max(r.right, column+1), line + 1}
			}
		}
	}
	if r.empty() {
		return nil
	}
	t := to.input
	g := to.over(l, region{0, 0, t.Width, t.Height})
	pixels := func(a axis, from, end, side, n int) (first, last int) { // whose interpolation has one of the columns
		first, last = int(math.Floor((float64(from)-1-a.offset)/a.scale-0.5)), int(math.Ceil((float64(end)-a.offset)/a.scale-0.5))+1
		if from == 0 {
			first = 0
		}
		if end == n {
			last = side
		}
		return max(0, min(first, side)), max(0, min(last, side))
	}
	var of region
	of.left, of.right = pixels(g.x, r.left, r.right, t.Width, l.columns)
	of.top, of.bottom = pixels(g.y, r.top, r.bottom, t.Height, l.lines)
	if of.empty() {
		return nil
	}
	g.left, g.top, g.width, g.height, g.values = 0, 0, l.columns, l.lines, values
	return to.scratch.grid.maskOf(&g, of, x.threshold, t.Width, t.Height)
}

// overBox returns the mask of numbers over a box, which are 0 around it, as in paste_masks_in_image of Detectron2's
// layers/mask_ops.py. The box is the object's before it was clipped to the image.
func (x *instances) overBox(to *detection, l *layers, values []float32, box int, b Box) []uint32 {
	s := &to.scratch.grid
	w, h := l.columns+2, l.lines+2
	s.values = slices.Grow(s.values[:0], w*h)[:w*h]
	clear(s.values)
	logits := x.def.Output.Mask.Activation == repository.ActivationSigmoid
	for line := range l.lines {
		to := s.values[(line+1)*w+1:][:l.columns]
		copy(to, values[line*l.columns:])
		for i := 0; logits && i < len(to); i++ {
			to[i] = float32(sigmoidOf(float64(to[i])))
		}
	}
	c, t := to.scratch.candidates[to.picked[box]], to.transform
	x1, y1 := (c.x1-t.OffsetX)/t.ScaleX, (c.y1-t.OffsetY)/t.ScaleY
	x2, y2 := (c.x2-t.OffsetX)/t.ScaleX, (c.y2-t.OffsetY)/t.ScaleY
	g := field{values: s.values, width: w, height: h,
		x: axis{float64(l.columns) / (x2 - x1), 0.5 - x1*float64(l.columns)/(x2-x1)},
		y: axis{float64(l.lines) / (y2 - y1), 0.5 - y1*float64(l.lines)/(y2-y1)}}
	r := region{int(math.Floor(b.X1)), int(math.Floor(b.Y1)), int(math.Ceil(b.X2)), int(math.Ceil(b.Y2))}
	return s.maskOf(&g, r, float32(x.def.Output.Mask.Threshold), t.Width, t.Height)
}
