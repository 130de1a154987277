package postprocess

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Piped holds the predictions of the steps of a pipeline for one image, or for one object of it.
type Piped struct {
	Steps []StepResult
}

// StepResult is the prediction of a step, and what later steps predicted for its objects.
type StepResult struct {
	Name       string
	Prediction Prediction
	Objects    []*Piped // of each object, nil where it was not cropped; nil if no step is of its objects
	Apart      bool     // objects are in pixels of the crop that the step saw, which was warped or turned, and not of the image
}

func (*Piped) prediction() {}

// Find returns the prediction of a step; nil if there is none of that name.
func (p *Piped) Find(name string) Prediction {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return p.Steps[i].Prediction
		}
	}
	return nil
}

// MarshalJSON writes the predictions under the names of their steps, {"detect":{"boxes":[…]}}, and those for an object in it, under the names of
// theirs: {"class":…,"classify":{"top":[…]}}.
func (p *Piped) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i := range p.Steps {
		s := &p.Steps[i]
		data, err := s.marshal()
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", s.Name, err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(appendKey(out, s.Name), ':'), data...)
	}
	return append(out, '}'), nil
}

// appendKey adds a name, which has no characters that need escapes.
func appendKey(to []byte, name string) []byte { return fmt.Appendf(to, "%q", name) }

// objectsKey is the key of the list of objects in the JSON of a prediction.
func objectsKey(p Prediction) string {
	if _, ok := p.(*TextLines); ok {
		return "lines"
	}
	return "boxes"
}

func (s *StepResult) marshal() ([]byte, error) {
	data, err := json.Marshal(s.Prediction)
	if err != nil || s.Objects == nil {
		return data, err
	}
	var fields map[string]json.RawMessage
	var objects []json.RawMessage
	key := objectsKey(s.Prediction)
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(fields[key], &objects); err != nil {
		return nil, err
	}
	for i, of := range s.Objects {
		if of == nil || len(of.Steps) == 0 {
			continue
		}
		more, err := of.MarshalJSON()
		if err != nil {
			return nil, err
		}
		whole := append(objects[i][:len(objects[i])-1:len(objects[i])-1], ',') // without its brace
		objects[i] = append(whole, more[1:]...)
	}
	if fields[key], err = json.Marshal(objects); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// Keep removes the objects that are not to be kept, with what was predicted for them.
func (s *StepResult) Keep(keep []bool) {
	s.Objects = keepOnly(s.Objects, keep)
	switch p := s.Prediction.(type) {
	case *Detected:
		p.Boxes = keepOnly(p.Boxes, keep)
	case *Oriented:
		p.Boxes = keepOnly(p.Boxes, keep)
	case *Segmented:
		p.Boxes = keepOnly(p.Boxes, keep)
	case *Posed:
		p.Boxes = keepOnly(p.Boxes, keep)
	case *TextLines:
		p.Lines = keepOnly(p.Lines, keep)
	}
}

func keepOnly[T any](list []T, keep []bool) []T {
	out := list[:0]
	for i, v := range list {
		if keep[i] {
			out = append(out, v)
		}
	}
	return out
}

// Score returns that of the best class, or of the text. ok is false for predictions that have neither for the whole image.
func Score(p Prediction) (score float64, ok bool) {
	switch p := p.(type) {
	case *Classified:
		if len(p.Top) > 0 {
			return p.Top[0].Score, true
		}
	case *Recognized:
		return p.Score, true
	}
	return 0, false
}

// Word is the label of the best class, or the text; empty for predictions that have neither for the whole image.
func Word(p Prediction) string {
	switch p := p.(type) {
	case *Classified:
		if len(p.Top) > 0 {
			return cmp.Or(p.Top[0].Label, strconv.Itoa(p.Top[0].Class))
		}
	case *Recognized:
		return p.Text
	}
	return ""
}

// WithLabels returns a copy of a prediction of objects with other labels.
func WithLabels(p Prediction, label func(i int, label string) string) Prediction {
	switch p := p.(type) {
	case *Detected:
		out := *p
		out.Boxes = relabeled(p.Boxes, func(b *Box) *Box { return b }, label)
		return &out
	case *Oriented:
		out := *p
		out.Boxes = relabeled(p.Boxes, func(b *OrientedBox) *Box { return &b.Box }, label)
		return &out
	case *Segmented:
		out := *p
		out.Boxes = relabeled(p.Boxes, func(b *Instance) *Box { return &b.Box }, label)
		return &out
	case *Posed:
		out := *p
		out.Boxes = relabeled(p.Boxes, func(b *PosedBox) *Box { return &b.Box }, label)
		return &out
	case *TextLines:
		out := *p
		out.Lines = slices.Clone(p.Lines)
		for i := range out.Lines {
			out.Lines[i].Text = label(i, out.Lines[i].Text)
		}
		return &out
	}
	return p
}

func relabeled[T any](list []T, box func(*T) *Box, label func(int, string) string) []T {
	out := slices.Clone(list)
	for i := range out {
		b := box(&out[i])
		b.Label = label(i, b.Label)
	}
	return out
}
