package verify

import (
	"math"
	"testing"

	"fovea/internal/repository"
)

func box(class int, score, x1, y1, x2, y2 float64) Box {
	return Box{Class{class, "", score}, x1, y1, x2, y2}
}

// TestCompareBoxes pairs boxes of one image by hand. The definition's threshold is 0.3, the lowest expected score what the list has.
func TestCompareBoxes(t *testing.T) {
	a := box(0, 0.9, 0, 0, 10, 10)
	for what, c := range map[string]struct {
		want, got               []Box
		matched, missing, extra int
	}{
		"equal":                            {[]Box{a}, []Box{a}, 1, 0, 0},
		"another class":                    {[]Box{a}, []Box{box(1, 0.9, 0, 0, 10, 10)}, 0, 1, 0}, // 0.9 is within reach of the lowest expected score
		"less overlap than wanted":         {[]Box{a}, []Box{box(0, 0.9, 0, 0, 10, 4)}, 0, 1, 1},
		"the least overlap":                {[]Box{a}, []Box{box(0, 0.9, 0, 0, 10, 5)}, 1, 0, 0},
		"another score":                    {[]Box{a}, []Box{box(0, 0.7, 0, 0, 10, 10)}, 0, 1, 1},
		"a score within the tolerance":     {[]Box{a}, []Box{box(0, 0.81, 0, 0, 10, 10)}, 1, 0, 0},
		"missing near the threshold":       {[]Box{a, box(0, 0.39, 20, 20, 30, 30)}, []Box{a}, 1, 0, 0},
		"missing above it":                 {[]Box{a, box(0, 0.41, 20, 20, 30, 30)}, []Box{a}, 1, 1, 0},
		"too many near the lowest score":   {[]Box{a, box(0, 0.4, 20, 20, 30, 30)}, []Box{a, box(0, 0.49, 50, 50, 60, 60)}, 1, 1, 0},
		"too many above it":                {[]Box{a, box(0, 0.4, 20, 20, 30, 30)}, []Box{a, box(0, 0.51, 50, 50, 60, 60)}, 1, 1, 1},
		"the better of two partners":       {[]Box{a}, []Box{box(0, 0.9, 0, 0, 10, 9), a}, 1, 0, 0},
		"without scores":                   {[]Box{box(0, math.NaN(), 0, 0, 10, 10)}, []Box{box(0, 0.4, 0, 0, 10, 10), box(0, 0.35, 50, 50, 60, 60)}, 1, 0, 1},
		"beyond the image":                 {[]Box{box(0, 0.9, -50, -50, 10, 10)}, []Box{a}, 1, 0, 0},
		"nothing left of it in the image":  {[]Box{a, box(0, 0.9, 200, 0, 300, 10)}, []Box{a}, 1, 0, 0},
		"a partner goes to the most alike": {[]Box{a, box(0, 0.9, 0, 0, 10, 8)}, []Box{box(0, 0.9, 0, 0, 10, 8), a}, 2, 0, 0},
	} {
		e := &Expected{Detection: true}
		e.answer("x").Boxes = c.want
		d := repository.Definition{Task: repository.Detection, Output: repository.Output{Score: 0.3}}
		r := newComparer(e, d, Tolerance{IoU: 0.5, Score: 0.1}).compare("x", e.answers["x"], &Answer{Boxes: c.got, Width: 100, Height: 100})
		if r.Matched != c.matched || r.Missing != c.missing || r.Extra != c.extra || !(r.Similarity >= 0 && r.Similarity <= 1) {
			t.Errorf("%s: %+v", what, r)
		}
	}
}

// TestCompareClasses compares the classes of one image. Similarity is 1 − Σ|difference|/Σ expected.
func TestCompareClasses(t *testing.T) {
	cat, dog := Class{0, "cat", 0.6}, Class{1, "dog", 0.2}
	for what, c := range map[string]struct {
		want, got  []Class
		matched    int
		similarity float64
	}{
		"equal":                                {[]Class{cat, dog}, []Class{cat, dog}, 1, 1},
		"other scores":                         {[]Class{cat, dog}, []Class{{0, "cat", 0.56}, {1, "dog", 0.24}}, 1, 0.9},
		"scores too far off":                   {[]Class{cat, dog}, []Class{{0, "cat", 0.4}, dog}, 0, 0.75},
		"another best class":                   {[]Class{cat, dog}, []Class{{1, "dog", 0.6}, {0, "cat", 0.2}}, 0, 0},
		"by label, whatever it is numbered":    {[]Class{{-1, "Dog ", math.NaN()}}, []Class{{1, "dog", 0.6}}, 1, 1},
		"second, without score":                {[]Class{{-1, "dog", math.NaN()}}, []Class{cat, {1, "dog", 0.1}}, 0, 0.5},
		"by number":                            {[]Class{{1, "", math.NaN()}}, []Class{{1, "dog", 0.6}}, 1, 1},
		"by number, as the labels are unknown": {[]Class{{1, "n02099601", math.NaN()}}, []Class{{1, "dog", 0.6}}, 1, 1},
	} {
		e := &Expected{}
		e.answer("x").Classes = c.want
		d := repository.Definition{Task: repository.Classification, Labels: []string{"cat", "dog"}}
		r := newComparer(e, d, Tolerance{Score: 0.1}).compare("x", e.answers["x"], &Answer{Classes: c.got})
		if r.Matched != c.matched || math.Abs(r.Similarity-c.similarity) > 1e-9 {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
