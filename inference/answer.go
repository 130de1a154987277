package inference

import (
	"fovea/internal/verify"
	"fovea/postprocess"
)

// AnswerOf is a prediction as package verify compares it.
func AnswerOf(p postprocess.Prediction) *verify.Answer {
	a := &verify.Answer{}
	class := func(number int, label string, score float64) verify.Class {
		return verify.Class{Number: number, Label: label, Score: score}
	}
	switch p := p.(type) {
	case *postprocess.Classified:
		for _, c := range p.Top {
			a.Classes = append(a.Classes, class(c.Class, c.Label, c.Score))
		}
	case postprocess.Objects:
		a.Width, a.Height = p.Size()
		for i := range p.Len() {
			b := p.Box(i)
			a.Boxes = append(a.Boxes, verify.Box{Class: class(b.Class, b.Label, b.Score), X1: b.X1, Y1: b.Y1, X2: b.X2, Y2: b.Y2})
		}
	}
	return a
}
