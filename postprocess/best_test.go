package postprocess

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBestIsAStableSort compares with a stable sort, for few and many values, with and without equal ones.
func TestBestIsAStableSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var memory ranking
	for range 3000 {
		values := make([]float32, 1+rng.IntN(200))
		for i := range values {
			values[i] = float32(rng.IntN(1 + rng.IntN(300))) // many are equal
		}
		want := make(ranking, len(values))
		for i, v := range values {
			want[i] = ranked{v, int32(i)}
		}
		slices.SortStableFunc(want, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
		k := rng.IntN(len(values) + 1)
		if memory = best(values, k, memory); !slices.Equal(memory, want[:k]) {
			t.Fatalf("the best %d of %v are %v, want %v", k, values, memory, want[:k])
		}
	}
}
