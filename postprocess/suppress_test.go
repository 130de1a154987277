package postprocess

import (
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/preprocess/geometry"
)

// naive is suppression as it is usually written: everything against everything.
func naive(boxes []candidate, scores []float32, l *limits) []int {
	order := make([]int, len(boxes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	gone := make([]bool, len(boxes))
	var kept []int
	for i, a := range order[:min(l.candidates, len(order))] {
		if !gone[a] {
			kept = append(kept, a)
		} else if !l.fast {
			continue
		}
		for _, b := range order[i+1:] {
			if (l.agnostic || boxes[a].class == boxes[b].class) && iou(boxes[a].rect, boxes[b].rect) > l.iou {
				gone[b] = true
			}
		}
	}
	return kept
}

func TestSuppressionMatchesANaiveOne(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 300 {
		var s scratch
		n := r.IntN(120)
		scores := make([]float32, n)
		for i := range n {
			scores[i] = float32(r.IntN(20)) / 20 // many ties
			x, y := r.Float64()*90, r.Float64()*90
			s.add(candidate{rect{x, y, x + 1 + r.Float64()*30, y + 1 + r.Float64()*30}, 50 * r.Int32N(4), 0}, scores[i])
		}
		boxes, limit := slices.Clone(s.candidates), 1+r.IntN(n+1)
		l := limits{iou: float64(r.IntN(11)) / 10, suppress: true, fast: round%3 == 1, agnostic: round%5 == 1, candidates: 1 + r.IntN(2*n+1), boxes: limit}
		want := naive(boxes, scores, &l)
		got := s.detected(&l, nil, geometry.Transform{Width: 130, Height: 130, InputW: 130, InputH: 130, ScaleX: 1, ScaleY: 1})
		if len(got.Boxes) != min(limit, len(want)) {
			t.Fatalf("round %d: %d boxes, want %d", round, len(got.Boxes), min(limit, len(want)))
		}
		for i, b := range got.Boxes {
			if w := boxes[want[i]]; (rect{b.X1, b.Y1, b.X2, b.Y2}) != w.rect || b.Class != int(w.class) {
				t.Fatalf("round %d: box %d is %+v, want %+v", round, i, b, w)
			}
		}
	}
}

// TestBoxesBesideTheImageSuppressToo: what lies in the padding takes part, as in the exporters' suppression, but is no result.
func TestBoxesBesideTheImageSuppressToo(t *testing.T) {
	var s scratch
	s.add(candidate{rect{0, -20, 10, 0}, 0, 0}, 0.9) // above the image
	s.add(candidate{rect{0, -19, 10, 1}, 0, 0}, 0.8) // overlaps it, and reaches in
	s.add(candidate{rect{0, 50, 10, 60}, 0, 0}, 0.7)
	l := limits{iou: 0.45, suppress: true, candidates: 10, boxes: 10}
	got := s.detected(&l, nil, geometry.Transform{Width: 100, Height: 100, InputW: 100, InputH: 140, ScaleX: 1, ScaleY: 1})
	if len(got.Boxes) != 1 || got.Boxes[0].Y1 != 50 {
		t.Errorf("boxes %+v", got.Boxes)
	}
}
