package postprocess

import (
	"math"
	"math/rand/v2"
	"testing"
)

// interpolated is the number of a pixel, in float64.
func (g *field) interpolated(x, y int) float64 {
	at := func(a axis, pixel, first, n int) (low, high int, part float64) {
		v := a.at(pixel)
		floor := math.Floor(v)
		return clampTo(int(floor)-first, n), clampTo(int(floor)+1-first, n), v - floor
	}
	left, right, px := at(g.x, x, g.left, g.width)
	upper, lower, py := at(g.y, y, g.top, g.height)
	line := func(l int) float64 {
		a, b := float64(g.values[l*g.width+left]), float64(g.values[l*g.width+right])
		return a + px*(b-a)
	}
	a, b := line(upper), line(lower)
	return a + py*(b-a)
}

// randomField has noise, waves or few different numbers.
func randomField(rng *rand.Rand, kind int) field {
	w, h := 1+rng.IntN(140), 1+rng.IntN(140)
	g := field{width: w, height: h, left: rng.IntN(4), top: rng.IntN(4), values: make([]float32, w*h)}
	for i := range g.values {
		switch kind % 3 {
		case 0:
			g.values[i] = rng.Float32() - 0.5
		case 1:
			g.values[i] = float32(math.Sin(float64(i%w)/7+float64(kind)) + math.Cos(float64(i/w)/5))
		default:
			g.values[i] = float32(rng.IntN(3)) - 1
		}
	}
	return g
}

// TestMaskOfAField compares with the interpolation of every pixel, except for those that lie at the threshold.
func TestMaskOfAField(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var s fieldScratch
	for kind := range 300 {
		g := randomField(rng, kind)
		w, h := 1+rng.IntN(300), 1+rng.IntN(300)
		g.x = axis{float64(g.width+g.left) / float64(w), rng.Float64()*3 - 1.5}
		g.y = axis{float64(g.height+g.top) / float64(h), rng.Float64()*3 - 1.5}
		r := region{rng.IntN(w), rng.IntN(h), w, h}
		r.right, r.bottom = r.left+rng.IntN(w-r.left+1), r.top+rng.IntN(h-r.top+1)
		if kind%2 == 0 {
			r = region{0, 0, w, h}
		}
		threshold := []float32{0, 0.3, -0.9}[kind/3%3]
		m := &Mask{Width: w, Height: h, Runs: s.maskOf(&g, r, threshold, w, h)}
		got := make([]bool, w*h)
		m.Each(func(x, top, bottom int) {
			for y := top; y < bottom; y++ {
				got[y*w+x] = true
			}
		})
		for i, in := range got {
			x, y := i%w, i/w
			want := x >= r.left && x < r.right && y >= r.top && y < r.bottom
			if want {
				v := g.interpolated(x, y) - float64(threshold)
				if math.Abs(v) < 1e-5 {
					continue
				}
				want = v > 0
			}
			if in != want {
				t.Fatalf("%d: pixel %d, %d of %d×%d is %v, want %v", kind, x, y, w, h, in, want)
			}
		}
	}
}

// TestMaskOfAFieldWithoutCells: all of a region, and nothing of it.
func TestMaskOfAFieldWithoutCells(t *testing.T) {
	var s fieldScratch
	for value, want := range map[float32]int{1: 12, -1: 0} {
		g := field{width: 1, height: 1, values: []float32{value}, x: axis{0.1, -0.5}, y: axis{0.1, -0.5}}
		m := &Mask{Width: 10, Height: 10, Runs: s.maskOf(&g, region{2, 3, 5, 7}, 0, 10, 10)}
		if m.Area() != want {
			t.Errorf("%d pixels above 0 of %v, want %d", m.Area(), value, want)
		}
	}
}
