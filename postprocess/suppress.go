package postprocess

import (
	"fmt"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// rect is a box given by two corners.
type rect struct{ x1, y1, x2, y2 float64 }

func (r rect) area() float64 { return max(0, r.x2-r.x1) * max(0, r.y2-r.y1) }

// iou returns the intersection over union of two boxes; 0 if both are empty.
func iou(a, b rect) float64 {
	shared := rect{max(a.x1, b.x1), max(a.y1, b.y1), min(a.x2, b.x2), min(a.y2, b.y2)}.area()
	if shared == 0 {
		return 0
	}
	return shared / (a.area() + b.area() - shared)
}

// candidate is a box that reached the score threshold, in the coordinates of its decoder.
type candidate struct {
	rect
	class int32
	row   int32 // in the outputs; with an extra only
}

func (s *scratch) add(c candidate, score float32) {
	s.ranking = append(s.ranking, ranked{score, int32(len(s.candidates))})
	s.candidates = append(s.candidates, c)
}

// detected selects boxes from the candidates, best first, up to the limit. With suppression, a candidate is left out if its
// IoU with a better one of the same class exceeds the threshold, as in torchvision.ops.batched_nms; with fast suppression also
// if that one is left out itself. Candidates that are empty or far outside of the input suppress nothing, and those that are
// empty when clipped to the image are not returned. The work is at most candidates × boxes, or with fast suppression half the square of the
// candidates.
func (s *scratch) detected(l *limits, labels []string, transform geometry.Transform) *Detected {
	bounds := rect{x2: float64(transform.InputW), y2: float64(transform.InputH)}
	s.ranking.init()
	s.kept.reset()
	out := &Detected{Boxes: make([]Box, 0, min(l.boxes, len(s.ranking), 16)), Width: transform.Width, Height: transform.Height}
	for n := 0; len(s.ranking) > 0 && len(out.Boxes) < l.boxes && (!l.suppress || n < l.candidates); n++ {
		r := s.ranking.pop()
		c := s.candidates[r.index]
		if c.farOutside(bounds) {
			out.Discarded++
			continue
		}
		if c.area() == 0 || l.suppress && s.suppressed(c, l) {
			continue
		}
		var b rect
		b.x1, b.y1 = transform.ToImage(c.x1, c.y1)
		b.x2, b.y2 = transform.ToImage(c.x2, c.y2)
		if b.area() == 0 {
			continue
		}
		out.Boxes = append(out.Boxes, Box{int(c.class), label(labels, int(c.class)), float64(min(r.score, 1)), b.x1, b.y1, b.x2, b.y2})
		s.picked = append(s.picked, r.index)
	}
	return out
}

// suppressed reports whether a candidate is left out, and keeps those that may suppress others.
func (s *scratch) suppressed(c candidate, l *limits) bool {
	if l.agnostic {
		c.class = 0
	}
	first := &s.kept.first[int(c.class)%len(s.kept.first)]
	overlaps := s.kept.overlaps(&c, *first, l.iou)
	if !overlaps || l.fast {
		s.kept.boxes = append(s.kept.boxes, keptBox{c, c.area(), *first})
		*first = int32(len(s.kept.boxes))
	}
	return overlaps
}

// kept holds the boxes that may suppress others in lists by class.
type kept struct {
	boxes []keptBox
	first [64]int32 // of the boxes of a class and others, as an index plus 1; 0: none
}

type keptBox struct {
	candidate
	area float64
	next int32
}

func (k *kept) reset() {
	k.boxes = k.boxes[:0]
	clear(k.first[:])
}

// overlaps reports whether a box of a list has the class of c and an IoU with it above the threshold.
func (k *kept) overlaps(c *candidate, at int32, threshold float64) bool {
	area := c.area()
	for at > 0 {
		b := &k.boxes[at-1]
		at = b.next
		if b.class != c.class || b.x1 >= c.x2 || b.x2 <= c.x1 || b.y1 >= c.y2 || b.y2 <= c.y1 {
			continue
		}
		shared := (less(b.x2, c.x2) - more(b.x1, c.x1)) * (less(b.y2, c.y2) - more(b.y1, c.y1))
		if shared > threshold*(b.area+area-shared) {
			return true
		}
	}
	return false
}

// less and more are min and max of finite numbers, which need no care of NaN.
func less(a, b float64) float64 {
	if a < b {
		return a
	}
	return b
}

func more(a, b float64) float64 {
	if a > b {
		return a
	}
	return b
}

// farOutside reports whether a box reaches beyond bounds by more than ten times its sides.
func (r rect) farOutside(bounds rect) bool {
	const maxSides = 10
	w, h := maxSides*(bounds.x2-bounds.x1), maxSides*(bounds.y2-bounds.y1)
	return min(r.x1, r.x2) < bounds.x1-w || min(r.y1, r.y2) < bounds.y1-h || max(r.x1, r.x2) > bounds.x2+w || max(r.y1, r.y2) > bounds.y2+h
}

// reset empties the lists for the next row.
func (s *scratch) reset() {
	s.ranking, s.candidates = s.ranking[:0], s.candidates[:0]
	s.picked = s.picked[:0]
}

// checkTransform rejects a transform that would map boxes to values that are not finite.
func checkTransform(transform geometry.Transform) error {
	good := transform.ScaleX > 0 && transform.ScaleY > 0 && transform.Width > 0 && transform.Height > 0 && transform.InputW > 0 && transform.InputH > 0
	if !good || !(rect{transform.ScaleX, transform.ScaleY, transform.OffsetX, transform.OffsetY}).finite() {
		return unusable(fmt.Errorf("the image cannot be mapped: %+v", transform))
	}
	return nil
}

// corners converts four numbers in a box format.
func corners(format string, a, b, c, d float64) rect {
	switch format {
	case repository.BoxCXCYWH:
		return rect{a - c/2, b - d/2, a + c/2, b + d/2}
	case repository.BoxXYWH:
		return rect{a, b, a + c, b + d}
	case repository.BoxYXYX:
		return rect{b, a, d, c}
	}
	return rect{a, b, c, d}
}

func (r rect) finite() bool { return (r.x1-r.x1)+(r.y1-r.y1)+(r.x2-r.x2)+(r.y2-r.y2) == 0 }
