package inference

import (
	"fovea/internal/verify"
	"fovea/postprocess"
)

// AnswerOf is a prediction as package verify compares it: classes, or the boxes of objects without their masks, points and angles. Other
// predictions have neither.
func AnswerOf(p postprocess.Prediction) *verify.Answer {
	switch p := p.(type) {
	case *postprocess.Classified:
		a := &verify.Answer{}
		for _, c := range p.Top {
			a.Classes = append(a.Classes, verify.Class{Number: c.Class, Label: c.Label, Score: c.Score})
		}
		return a
	case *postprocess.Detected:
		return boxesOf(p.Width, p.Height, p.Boxes, func(b *postprocess.Box) *postprocess.Box { return b })
	case *postprocess.Oriented:
		return boxesOf(p.Width, p.Height, p.Boxes, func(b *postprocess.OrientedBox) *postprocess.Box { return &b.Box })
	case *postprocess.Segmented:
		return boxesOf(p.Width, p.Height, p.Boxes, func(b *postprocess.Instance) *postprocess.Box { return &b.Box })
	case *postprocess.Posed:
		return boxesOf(p.Width, p.Height, p.Boxes, func(b *postprocess.PosedBox) *postprocess.Box { return &b.Box })
	}
	return &verify.Answer{}
}

func boxesOf[T any](width, height int, list []T, box func(*T) *postprocess.Box) *verify.Answer {
	a := &verify.Answer{Width: width, Height: height}
	for i := range list {
		b := box(&list[i])
		a.Boxes = append(a.Boxes, verify.Box{Class: verify.Class{Number: b.Class, Label: b.Label, Score: b.Score}, X1: b.X1, Y1: b.Y1, X2: b.X2, Y2: b.Y2})
	}
	return a
}
