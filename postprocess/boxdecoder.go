package postprocess

import (
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// boxDecoder is what all decoders of boxes share.
type boxDecoder struct {
	def     repository.Definition
	classes int // labeled ones in the outputs; 0: unknown
	limits  limits
	extra   extra // what the objects of the task have besides boxes; nil: nothing
}

func newBoxDecoder(def repository.Definition, classes int, x extra) (boxDecoder, error) {
	l, err := newLimits(&def, classes)
	return boxDecoder{def, classes, l, x}, err
}

// detection collects the boxes of one image.
type detection struct {
	*scratch
	limits
	decoder       *boxDecoder
	width, height float64            // of the box space, in pixels of the input
	transform     geometry.Transform // from the box space to the image
	output        string             // with the boxes, for errors

	// With an extra only:
	index    int // of the next candidate's row
	objects  int // rows of the outputs of boxes, detr or rows
	tail     tail
	input    geometry.Transform // from the input to the image
	encoding string             // Params.Encoding, or the default
}

// decode selects from the candidates that read adds.
func (d *boxDecoder) decode(outputs []Tensor, transform geometry.Transform, p *Params, read func(*detection) error) (Prediction, error) {
	l, err := p.detection(d.limits, d.def.Labels, d.classes)
	if err != nil {
		return nil, err
	}
	encoding, err := p.encoding(encodingsOf(d.extra)...)
	if err != nil {
		return nil, err
	}
	if err := checkTransform(transform); err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.reset()
	to := detection{scratch: s, limits: l, decoder: d, width: 1, height: 1, transform: transform}
	switch d.def.Output.BoxSpace {
	case repository.SpaceUnit:
		to.width, to.height = float64(transform.InputW), float64(transform.InputH)
	case repository.SpaceOriginal:
		w, h := transform.Width, transform.Height
		to.transform = geometry.Transform{Width: w, Height: h, InputW: w, InputH: h, ScaleX: 1, ScaleY: 1, OffsetX: -transform.Left, OffsetY: -transform.Top}
	}
	if d.extra != nil {
		to.input, to.encoding = transform, encoding
	}
	if err := read(&to); err != nil {
		return nil, err
	}
	if d.extra != nil {
		return d.extra.finish(&to, outputs)
	}
	return s.detected(&to.limits, d.def.Labels, to.transform), nil
}

// read reads the row's numbers of the output with the boxes.
func (to *detection) read(from *source, outputs []Tensor) (values []float32, t *Tensor, err error) {
	values, t, err = from.floatsOf(&to.floats, outputs)
	to.output = from.name
	return values, t, err
}

// add adds a box given by four numbers in the definition's format and space, if its score reaches the threshold of its class.
func (to *detection) add(class int, score float32, a, b, c, d float32) error {
	if !to.reached(class, score) {
		return nil
	}
	return to.addBox(class, score, corners(to.decoder.def.Output.BoxFormat, float64(a), float64(b), float64(c), float64(d)))
}

// addBox is add for a box in the definition's space.
func (to *detection) addBox(class int, score float32, box rect) error {
	if !to.reached(class, score) {
		return nil
	}
	box = rect{box.x1 * to.width, box.y1 * to.height, box.x2 * to.width, box.y2 * to.height}
	if !box.finite() {
		return notFinite(to.output)
	}
	to.scratch.add(candidate{box, int32(class), int32(to.index)}, score)
	return nil
}

// class checks the number of a class, counted from the first labeled one; negative: background.
func (d *boxDecoder) class(output string, n int64, ok bool) (int, error) {
	if !ok || n > maxClass || n < -maxClass {
		return 0, unusable(fmt.Errorf("output %q has a class that is not an integer", output))
	}
	class := int(n) - d.def.Output.ClassFirst
	if labels := len(d.def.Labels); labels > 0 && class >= labels {
		return 0, unusable(fmt.Errorf("the model predicts class %d; %s has %d labels", class, d.def.LabelsFile, labels))
	}
	return class, nil
}

// maxClass is larger than the number of any class.
const maxClass = 1<<31 - 1
