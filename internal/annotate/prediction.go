package annotate

import (
	"fmt"
	"image"

	"fovea/postprocess"
)

// Prediction returns a copy of an image with its prediction drawn on it: boxes, masks, points and labels over the image, maps instead of or
// over it. scale is what the image was multiplied by before; the prediction is in pixels of the original.
func Prediction(img image.Image, scale float64, p postprocess.Prediction) (*image.RGBA, error) {
	switch p := p.(type) {
	case *postprocess.Classified:
		labels := make([]Label, len(p.Top))
		for i, c := range p.Top {
			labels[i] = Label{Class: c.Class, Text: c.Label, Score: c.Score}
		}
		return Classes(img, labels)
	case postprocess.Quadrilaterals:
		return quadrilaterals(img, scale, p)
	case *postprocess.Recognized:
		return Classes(img, []Label{{Text: p.Text, Score: p.Score, Other: textLabel}})
	case *postprocess.Segmented:
		return segmented(img, scale, p)
	case *postprocess.Posed:
		return posed(img, scale, p)
	case postprocess.Objects:
		return Boxes(img, boxesOf(scale, p))
	case *postprocess.ClassMap:
		return classMap(img, p)
	case *postprocess.DepthMap:
		return overlay(img, p.Depth, 1), nil
	case *postprocess.AnomalyMap:
		return anomaly(img, p)
	case *postprocess.Rendered:
		return enlarged(p.Image, 1), nil
	case *postprocess.Embedded:
		return Classes(img, nil)
	case *postprocess.Piped:
		return piped(img, scale, p)
	}
	return nil, fmt.Errorf("a prediction of the type %T cannot be drawn", p)
}

// textLabel is drawn instead of text that the font cannot draw.
const textLabel = "text"

// boxesOf are the boxes of objects at a scale.
func boxesOf(scale float64, p postprocess.Objects) []Box {
	boxes, other := make([]Box, p.Len()), ""
	if _, isText := p.(*postprocess.TextLines); isText {
		other = textLabel
	}
	for i := range boxes {
		b := p.Box(i)
		boxes[i] = Box{X1: scale * b.X1, Y1: scale * b.Y1, X2: scale * b.X2, Y2: scale * b.Y2, Label: Label{Class: b.Class, Text: b.Label, Score: b.Score, Other: other}}
	}
	return boxes
}
