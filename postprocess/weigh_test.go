package postprocess

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestWeighingOfParts compares with a sum in float64, for parts of any width at any place.
func TestWeighingOfParts(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for range 500 {
		columns, lines, n := 1+rng.IntN(40), 1+rng.IntN(6), 1+rng.IntN(10)
		planes, factors := make([]float32, n*lines*columns), make([]float32, n)
		for i := range planes {
			planes[i] = rng.Float32() - 0.5
		}
		for i := range factors {
			factors[i] = rng.Float32() - 0.5
		}
		g := field{left: rng.IntN(columns), top: rng.IntN(lines)}
		g.width, g.height = 1+rng.IntN(columns-g.left), 1+rng.IntN(lines-g.top)
		memory := make([]float32, g.width*g.height+8)
		for i := range memory {
			memory[i] = 7
		}
		g.values = memory[:g.width*g.height]
		g.weigh(planes, factors, columns, lines)
		for i, got := range g.values {
			want := 0.0
			for k, f := range factors {
				want += float64(f) * float64(planes[(k*lines+g.top+i/g.width)*columns+g.left+i%g.width])
			}
			if math.Abs(float64(got)-want) > 1e-6 {
				t.Fatalf("%d of %d×%d at %d, %d: %v, want %v", i, g.width, g.height, g.left, g.top, got, want)
			}
		}
		for _, v := range memory[g.width*g.height:] {
			if v != 7 {
				t.Fatal("wrote beyond the part")
			}
		}
	}
}
