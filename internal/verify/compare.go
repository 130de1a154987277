package verify

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// Tolerance is how far a prediction may be from what is expected.
type Tolerance struct {
	IoU   float64 // lowest intersection over union of a pair of boxes
	Score float64 // largest difference of their scores, or of the scores of the best class
}

// DefaultTolerance returns the tolerance that is used unless another is given.
func DefaultTolerance() Tolerance { return Tolerance{IoU: 0.5, Score: 0.1} }

// ImageResult is the comparison of one image. With classification there is one object: the best class.
type ImageResult struct {
	Image      string  `json:"image"`
	Matched    int     `json:"matched"` // objects with a partner within the tolerance
	Missing    int     `json:"missing"` // expected objects without one
	Extra      int     `json:"extra"`   // predicted objects without one
	Similarity float64 `json:"similarity"`
	Error      string  `json:"error,omitempty"` // why there is no prediction

	iou, difference float64 // sums over pairs
	worst           float64 // the largest difference of scores of a pair
	scored, pairs   int     // pairs whose expected object has a score; all pairs
	top1, top5      bool
}

// agreement is the share of the objects of both sides that have a partner; 1 if there are none.
func (r *ImageResult) agreement() float64 { return share(2*r.Matched, 2*r.Matched+r.Missing+r.Extra) }

func share(part, all int) float64 {
	if all == 0 {
		return 1
	}
	return float64(part) / float64(all)
}

// Result is the comparison of all images.
type Result struct {
	// Agreement is the share of the boxes of both sides that have a partner of the same class within the tolerance; with
	// classification, the share of images whose best class and its score agree.
	Agreement float64 `json:"agreement"`
	// Similarity is the mean over the boxes of both sides of IoU·(1−|difference of scores|) with the partner, 0 without one. With
	// classification, it is the mean over images of 1 − Σ|difference|/Σ expected scores, or, without scores, of one over the rank
	// of the expected class. It tells small differences from none.
	Similarity    float64       `json:"similarity"`
	Compared      int           `json:"compared"` // images
	Matched       int           `json:"matched"`
	Missing       int           `json:"missing"`
	Extra         int           `json:"extra"`
	Failed        int           `json:"failed"` // images without a prediction
	Detection     bool          `json:"-"`
	Top1          float64       `json:"top1,omitempty"`
	Top5          float64       `json:"top5,omitempty"`
	MeanIoU       float64       `json:"mean_iou,omitempty"`    // of pairs
	Difference    float64       `json:"mean_score_difference"` // of pairs, absolute
	MaxDifference float64       `json:"max_score_difference"`  // the largest of pairs
	NoScores      bool          `json:"expected_no_scores"`    // nothing expected has a score
	Images        []ImageResult `json:"images,omitempty"`      // in the order of the images
}

// comparer compares predictions of a definition.
type comparer struct {
	tolerance Tolerance
	labels    bool    // classes are compared by label, else by number
	lowest    float64 // lowest expected score; 0 if there are none
	scores    bool    // expected objects have scores
	def       repository.Definition
}

// newComparer finds out how the classes of e relate to those of the definition: by label if the labels of most classes exist
// there, else by number.
func newComparer(e *Expected, def repository.Definition, tolerance Tolerance) *comparer {
	c := &comparer{tolerance: tolerance, def: def, lowest: math.Inf(1)}
	known := map[string]bool{}
	for _, label := range def.Labels {
		known[fold(label)] = true
	}
	seen, unnumbered := map[string]bool{}, false
	each := func(class Class) {
		if class.Label != "" {
			seen[fold(class.Label)] = true
		}
		unnumbered = unnumbered || class.Number < 0
		if class.Score == class.Score {
			c.lowest, c.scores = min(c.lowest, class.Score), true
		}
	}
	for _, a := range e.answers {
		for _, class := range a.Classes {
			each(class)
		}
		for _, box := range a.Boxes {
			each(box.Class)
		}
	}
	if math.IsInf(c.lowest, 1) {
		c.lowest = 0
	}
	found := 0
	for label := range seen {
		if known[label] {
			found++
		}
	}
	c.labels = len(seen) > 0 && (2*found >= len(seen) || unnumbered)
	return c
}

func fold(label string) string { return strings.ToLower(strings.TrimSpace(label)) }

// same reports whether two classes are the same one.
func (c *comparer) same(want, got Class) bool {
	if c.labels && want.Label != "" && got.Label != "" {
		return fold(want.Label) == fold(got.Label)
	}
	return want.Number >= 0 && want.Number == got.Number
}

// compare compares one image.
func (c *comparer) compare(image string, want, got *Answer) ImageResult {
	if c.def.Task.FindsObjects() {
		return c.compareBoxes(image, want, got)
	}
	return c.compareClasses(image, want, got)
}

// failed is the result of an image without a prediction.
func failed(image string, want *Answer, err error) ImageResult {
	return ImageResult{Image: image, Missing: max(len(want.Boxes), min(1, len(want.Classes))), Error: err.Error()}
}

func (c *comparer) compareClasses(image string, want, got *Answer) ImageResult {
	r := ImageResult{Image: image}
	if len(want.Classes) == 0 || len(got.Classes) == 0 {
		r.Missing, r.Extra = min(1, len(want.Classes)), min(1, len(got.Classes))
		return r
	}
	best, sum, off := want.Classes[0], 0.0, 0.0
	rank := slices.IndexFunc(got.Classes, func(g Class) bool { return c.same(best, g) })
	r.top1, r.top5 = rank == 0, rank >= 0 && rank < 5
	for _, w := range want.Classes {
		if w.Score != w.Score {
			continue
		}
		at, score := slices.IndexFunc(got.Classes, func(g Class) bool { return c.same(w, g) }), 0.0
		if at >= 0 {
			score = got.Classes[at].Score
		}
		sum, off = sum+w.Score, off+math.Abs(w.Score-score)
	}
	scored := best.Score == best.Score
	switch {
	case scored && sum > 0:
		r.Similarity = max(0, 1-off/sum)
	case rank >= 0:
		r.Similarity = 1 / float64(rank+1)
	}
	difference := 0.0
	if scored && rank >= 0 {
		difference = math.Abs(got.Classes[rank].Score - best.Score)
		r.difference, r.worst, r.scored = difference, difference, 1
	}
	if r.top1 && difference <= c.tolerance.Score {
		r.Matched = 1
	} else {
		r.Missing, r.Extra = 1, 1
	}
	return r
}

// partner is a pair of boxes and how alike they are.
type partner struct {
	want, got  int
	iou, alike float64
}

// compareBoxes pairs boxes of the same class, the most alike first. Boxes without a partner that are near the other side's score
// threshold do not count.
func (c *comparer) compareBoxes(image string, want, got *Answer) ImageResult {
	r := ImageResult{Image: image}
	wants, gots := visible(want, got), visible(got, got)
	usedWant, usedGot := make([]bool, len(wants)), make([]bool, len(gots))
	alike := 0.0
	for _, p := range c.partners(wants, gots) {
		if usedWant[p.want] || usedGot[p.got] {
			continue
		}
		difference := scoreDifference(wants[p.want], gots[p.got])
		usedWant[p.want], usedGot[p.got] = true, true
		alike += 2 * p.alike
		r.pairs++
		r.iou += p.iou
		if wants[p.want].Score == wants[p.want].Score {
			r.scored++
			r.difference += difference
			r.worst = max(r.worst, difference)
		}
		if p.iou >= c.tolerance.IoU && difference <= c.tolerance.Score {
			r.Matched++
			continue
		}
		r.Missing, r.Extra = r.Missing+1, r.Extra+1
	}
	for i, w := range wants {
		if !usedWant[i] && !(w.Score < c.threshold(w.Class)+c.tolerance.Score) {
			r.Missing++
		}
	}
	for i, g := range gots {
		if !usedGot[i] && (c.lowest == 0 || g.Score >= c.lowest+c.tolerance.Score) {
			r.Extra++
		}
	}
	if all := 2*r.Matched + r.Missing + r.Extra; all > 0 {
		r.Similarity = alike / float64(all)
	} else {
		r.Similarity = 1
	}
	return r
}

// partners lists pairs of overlapping boxes of the same class, the most alike first.
func (c *comparer) partners(wants, gots []Box) (list []partner) {
	for i, w := range wants {
		for j, g := range gots {
			if !c.same(w.Class, g.Class) {
				continue
			}
			if iou := overlap(w, g); iou > 0 {
				list = append(list, partner{i, j, iou, iou * (1 - scoreDifference(w, g))})
			}
		}
	}
	slices.SortFunc(list, func(a, b partner) int {
		return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(a.want, b.want), cmp.Compare(a.got, b.got))
	})
	return list
}

// threshold returns the definition's score threshold of an expected class.
func (c *comparer) threshold(class Class) float64 {
	for _, t := range c.def.Output.ClassThresholds {
		number := slices.Index(c.def.Labels, t.Label)
		if c.same(class, Class{Number: number, Label: t.Label}) {
			return t.Score
		}
	}
	return c.def.Output.Score
}

func scoreDifference(want, got Box) float64 {
	if want.Score != want.Score {
		return 0
	}
	return math.Abs(want.Score - got.Score)
}

// visible returns boxes in pixels, clipped to the image, without those of which nothing is left.
func visible(a, predicted *Answer) (list []Box) {
	w, h := float64(predicted.Width), float64(predicted.Height)
	for _, b := range a.Boxes {
		if a.Unit {
			b.X1, b.X2, b.Y1, b.Y2 = b.X1*w, b.X2*w, b.Y1*h, b.Y2*h
		}
		b.X1, b.Y1 = max(0, b.X1), max(0, b.Y1)
		if w > 0 && h > 0 {
			b.X2, b.Y2 = min(w, b.X2), min(h, b.Y2)
		}
		if b.X2-b.X1 > 0.5 && b.Y2-b.Y1 > 0.5 {
			list = append(list, b)
		}
	}
	return list
}

// overlap returns the intersection over union of two boxes.
func overlap(a, b Box) float64 {
	w, h := min(a.X2, b.X2)-max(a.X1, b.X1), min(a.Y2, b.Y2)-max(a.Y1, b.Y1)
	if !(w > 0 && h > 0) {
		return 0
	}
	both := w * h
	return both / ((a.X2-a.X1)*(a.Y2-a.Y1) + (b.X2-b.X1)*(b.Y2-b.Y1) - both)
}

// total sums up the results of images.
func (c *comparer) total(images []ImageResult) *Result {
	t := &Result{Compared: len(images), NoScores: !c.scores, Images: images, Detection: c.def.Task.FindsObjects()}
	var similarity, weight, iou, difference float64
	var pairs, scored, top1, top5 int
	for _, r := range images {
		t.Matched, t.Missing, t.Extra = t.Matched+r.Matched, t.Missing+r.Missing, t.Extra+r.Extra
		boxes := 1.0
		if c.def.Task.FindsObjects() {
			boxes = float64(2*r.Matched + r.Missing + r.Extra)
		}
		similarity, weight = similarity+boxes*r.Similarity, weight+boxes
		iou, difference, pairs, scored = iou+r.iou, difference+r.difference, pairs+r.pairs, scored+r.scored
		t.MaxDifference = max(t.MaxDifference, r.worst)
		if r.Error != "" {
			t.Failed++
		}
		if r.top1 {
			top1++
		}
		if r.top5 {
			top5++
		}
	}
	t.Agreement = share(2*t.Matched, 2*t.Matched+t.Missing+t.Extra)
	t.Similarity = ratio(similarity, weight, 1)
	t.MeanIoU, t.Difference = ratio(iou, float64(pairs), 0), ratio(difference, float64(scored), 0)
	if c.def.Task == repository.Classification {
		t.Top1, t.Top5 = share(top1, len(images)), share(top5, len(images))
	}
	return t
}

func ratio(a, b, without float64) float64 {
	if b == 0 {
		return without
	}
	return a / b
}
