package postprocess

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCellsInBlocks compares the assembly with what it stands for, also for numbers that are not finite.
func TestCellsInBlocks(t *testing.T) {
	if !hasBlocks {
		t.Skip("needs AVX2")
	}
	rng := rand.New(rand.NewPCG(7, 8))
	number := func() float32 {
		switch rng.IntN(40) {
		case 0:
			return float32(math.Inf(1 - 2*rng.IntN(2)))
		case 1:
			return float32(math.NaN())
		case 2:
			return math.MaxFloat32
		case 3:
			return 0
		}
		return rng.Float32() - 0.5
	}
	for range 3000 {
		list := make([]cells, 1+rng.IntN(4))
		for k := range list {
			c := &list[k]
			for i := range c.line {
				c.line[i] = int32(rng.IntN(200))
				c.low[i] = int32(rng.IntN(800))
				c.high[i] = c.low[i] + int32(rng.IntN(6))
				c.upper[i], c.upperStep[i], c.lower[i], c.lowerStep[i] = number(), number(), number(), number()
			}
		}
		p := crossings{part: rng.Float32(), threshold: (rng.Float32() - 0.5) / 2, y: axis{0.1 + rng.Float64(), rng.Float64() - 0.5}}
		rows, wantRows := make([][8]int32, len(list)), make([][8]int32, len(list))
		sides, wantSides := make([]uint8, len(list)), make([]uint8, len(list))
		crossBlocks(&rows[0], &sides[0], &list[0], len(list), &p)
		crossPlain(wantRows, wantSides, list, &p)
		if !slices.Equal(rows, wantRows) || !slices.Equal(sides, wantSides) {
			t.Fatalf("rows %v and sides %b, want %v and %b, of %+v", rows, sides, wantRows, wantSides, list)
		}
	}
}

func TestBitsAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for range 500 {
		values := make([]float32, 1+rng.IntN(200))
		for i := range values {
			values[i] = float32(rng.IntN(5) - 2)
		}
		bits := make([]uint64, (len(values)+63)/64)
		bits[len(bits)-1] = math.MaxUint64
		bitsAbove(values, 1, bits)
		for i := range 64 * len(bits) {
			if got, want := bits[i/64]>>(i%64)&1 == 1, i < len(values) && values[i] > 1; got != want {
				t.Fatalf("%d of %d: %v, want %v", i, len(values), got, want)
			}
		}
	}
}
