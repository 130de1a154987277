package postprocess

import (
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/preprocess/geometry"
)

// naive is suppression as it is usually written: everything against everything.
func naive(boxes []candidate, scores []float32, threshold float64) []int {
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
	for i, a := range order {
		if gone[a] {
			continue
		}
		kept = append(kept, a)
		for _, b := range order[i+1:] {
			if boxes[a].class == boxes[b].class && iou(boxes[a].rect, boxes[b].rect) > threshold {
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
			s.add(candidate{rect{x, y, x + 1 + r.Float64()*30, y + 1 + r.Float64()*30}, r.IntN(3)}, scores[i])
		}
		boxes, threshold := slices.Clone(s.candidates), float64(r.IntN(11))/10
		want := naive(boxes, scores, threshold)
		limit := 1 + r.IntN(n+1)
		l := limits{iou: threshold, suppress: true, candidates: n, boxes: limit}
		got := s.detected(&l, nil, geometry.Transform{Width: 130, Height: 130, InputW: 130, InputH: 130, ScaleX: 1, ScaleY: 1})
		if len(got.Boxes) != min(limit, len(want)) {
			t.Fatalf("round %d: %d boxes, want %d", round, len(got.Boxes), min(limit, len(want)))
		}
		for i, b := range got.Boxes {
			if w := boxes[want[i]]; (rect{b.X1, b.Y1, b.X2, b.Y2}) != w.rect || b.Class != w.class {
				t.Fatalf("round %d: box %d is %+v, want %+v", round, i, b, w)
			}
		}
	}
}
