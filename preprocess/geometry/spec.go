package geometry

import (
	"errors"
	"fmt"

	"fovea/internal/repository"
)

// Spec says how images of any size are brought to one input size.
type Spec struct {
	Mode          repository.Resize
	Width, Height int  // the input's size in pixels
	ShortestEdge  int  // for models.ShortestEdge: what the image's shorter side becomes
	TopLeft       bool // for models.Letterbox: the image lies in the corner, not in the centre
}

// SpecOf reads the Spec out of a model's input, whose Width and Height must be known. What is left out gets its
// default: stretch; the longer side of the input as shortest edge; the centre. Errors name every wrong key.
func SpecOf(in repository.Input) (Spec, error) {
	s := Spec{Mode: in.Resize, Width: in.Width, Height: in.Height, ShortestEdge: in.ShortestEdge}
	var wrong []error
	if s.Width < 1 || s.Height < 1 || s.Width > maxInput || s.Height > maxInput {
		wrong = append(wrong, fmt.Errorf("input.width and input.height are %d and %d; allowed are 1 to %d", s.Width, s.Height, maxInput))
	}
	switch s.Mode {
	case "":
		s.Mode = repository.Stretch
	case repository.Stretch, repository.Letterbox:
	case repository.ShortestEdge:
		least := max(s.Width, s.Height)
		if s.ShortestEdge == 0 {
			s.ShortestEdge = least
		}
		if s.ShortestEdge < least || s.ShortestEdge > maxInput {
			wrong = append(wrong, fmt.Errorf("input.shortest_edge is %d; allowed are %d (the input's longer side) to %d", s.ShortestEdge, least, maxInput))
		}
	default:
		wrong = append(wrong, fmt.Errorf("input.resize is %q; allowed are %s, %s and %s", in.Resize, repository.Stretch, repository.ShortestEdge, repository.Letterbox))
	}
	switch in.Place {
	case "", "center":
	case "top_left":
		s.TopLeft = true
	default:
		wrong = append(wrong, fmt.Errorf("input.place is %q; allowed are center and top_left", in.Place))
	}
	return s, errors.Join(wrong...)
}

// maxInput bounds the sides of an input, so that no product of them overflows.
const maxInput = 1 << 14
