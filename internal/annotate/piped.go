package annotate

import (
	"image"
	"strings"

	"fovea/postprocess"
)

// piped draws the steps of a pipeline that see the whole image, one over the other. The labels of objects have those of the steps that saw them,
// and objects that these found in the image's pixels are drawn as well.
func piped(img image.Image, scale float64, p *postprocess.Piped) (*image.RGBA, error) {
	drawn := enlarged(img, 1)
	for i := range p.Steps {
		s := &p.Steps[i]
		next, err := Prediction(drawn, scale, labeled(s))
		if err != nil {
			return nil, err
		}
		scale *= float64(next.Rect.Dx()) / float64(drawn.Rect.Dx()) // small images are enlarged
		drawn = next
		for _, object := range s.Objects {
			if object == nil {
				continue
			}
			if drawn, err = piped(drawn, scale, onImage(object)); err != nil {
				return nil, err
			}
		}
	}
	return drawn, nil
}

// labeled returns the prediction of a step whose objects' labels have the classes of later steps.
func labeled(s *postprocess.StepResult) postprocess.Prediction {
	if s.Objects == nil {
		return s.Prediction
	}
	labels := make([]string, len(s.Objects))
	for i, object := range s.Objects {
		labels[i] = summary(object)
	}
	_, isText := s.Prediction.(*postprocess.TextLines)
	return postprocess.WithLabels(s.Prediction, func(i int, label string) string {
		switch {
		case labels[i] == "":
			return label
		case isText:
			return labels[i]
		}
		return strings.TrimPrefix(label+": "+labels[i], ": ")
	})
}

// summary is what the steps of an object say in a word: its text, or its classes.
func summary(p *postprocess.Piped) string {
	if p == nil {
		return ""
	}
	var words []string
	for i := range p.Steps {
		if text, ok := p.Steps[i].Prediction.(*postprocess.Recognized); ok {
			return text.Text
		}
		if word := postprocess.Word(p.Steps[i].Prediction); word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// onImage returns the steps of an object whose predictions are objects in pixels of the image: those that saw an upright crop of it.
func onImage(p *postprocess.Piped) *postprocess.Piped {
	out := &postprocess.Piped{}
	for i := range p.Steps {
		s := &p.Steps[i]
		switch of := s.Prediction.(type) {
		case postprocess.Objects:
			if !s.Apart {
				out.Steps = append(out.Steps, *s)
			}
		case *postprocess.Piped:
			if !s.Apart {
				out.Steps = append(out.Steps, onImage(of).Steps...)
			}
		}
	}
	return out
}
