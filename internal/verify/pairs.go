package verify

import "fovea/internal/repository"

// Pair is the predictions of two versions for an image.
type Pair struct {
	Image     string
	Want, Got *Answer // nil: the version fails on the image
}

// Compare compares the predictions of pairs. An image that only one version predicts does not agree; one that neither does is left
// out.
func Compare(d repository.Definition, t Tolerance, pairs []Pair) *Result {
	e := &Expected{Detection: d.Task.FindsObjects()}
	for _, p := range pairs {
		if p.Want != nil {
			*e.answer(p.Image) = *p.Want
		}
	}
	c := newComparer(e, d, t)
	var results []ImageResult
	for _, p := range pairs {
		switch {
		case p.Want != nil && p.Got != nil:
			results = append(results, c.compare(p.Image, p.Want, p.Got))
		case p.Want != nil:
			results = append(results, ImageResult{Image: p.Image, Missing: max(1, len(p.Want.Boxes))})
		case p.Got != nil:
			results = append(results, ImageResult{Image: p.Image, Extra: max(1, len(p.Got.Boxes))})
		}
	}
	return c.total(results)
}
