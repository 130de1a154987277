package geometry

import (
	"math"
	"math/rand/v2"
	"testing"
)

func far(a, b Point) float64 { return math.Hypot(a[0]-b[0], a[1]-b[1]) }

func TestPerspectiveMapsItsCorners(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		var from [4]Point
		for i, corner := range [4]Point{{0, 0}, {1000, 0}, {1000, 600}, {0, 600}} {
			from[i] = Point{corner[0] + 200*random.Float64(), corner[1] + 200*random.Float64()}
		}
		to := [4]Point{{0, 0}, {320, 0}, {320, 48}, {0, 48}}
		m, ok := Perspective(from, to)
		if !ok {
			t.Fatalf("%v", from)
		}
		for i := range from {
			if d := far(m.Map(from[i]), to[i]); !(d < 1e-6) {
				t.Fatalf("%v is mapped to %v, want %v", from[i], m.Map(from[i]), to[i])
			}
		}
	}
}

func TestPerspectiveOfPointsOnALine(t *testing.T) {
	for name, from := range map[string][4]Point{
		"one point":    {{3, 3}, {3, 3}, {3, 3}, {3, 3}},
		"on a line":    {{0, 0}, {1, 1}, {2, 2}, {3, 3}},
		"two the same": {{0, 0}, {0, 0}, {2, 0}, {0, 2}},
		"no numbers":   {{math.NaN(), 0}, {1, 0}, {1, 1}, {0, 1}},
	} {
		if m, ok := Perspective(from, [4]Point{{0, 0}, {9, 0}, {9, 9}, {0, 9}}); ok {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func TestSimilarityFindsWhatPointsWereMovedBy(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		angle, scale, dx, dy := 2*math.Pi*random.Float64(), math.Exp(4*random.Float64()-2), 900*random.Float64(), 900*random.Float64()
		sin, cos := math.Sincos(angle)
		from, to := make([]Point, 5), make([]Point, 5)
		for i := range from {
			x, y := 500*random.Float64(), 500*random.Float64()
			from[i], to[i] = Point{x, y}, Point{scale*(cos*x-sin*y) + dx, scale*(sin*x+cos*y) + dy}
		}
		m, ok := Similarity(from, to)
		for i := range from {
			if d := far(m.Map(from[i]), to[i]); !ok || !(d < 1e-6) {
				t.Fatalf("%v is mapped to %v, want %v", from[i], m.Map(from[i]), to[i])
			}
		}
	}
	if m, ok := Similarity([]Point{{1, 2}, {1, 2}}, []Point{{0, 0}, {5, 5}}); ok {
		t.Errorf("of one point: %v", m)
	}
}

func TestWithinMovesPointsToTheWholeImage(t *testing.T) {
	crop := Transform{Width: 100, Height: 50, InputW: 64, InputH: 64, ScaleX: 0.64, ScaleY: 0.64, OffsetY: 16}
	whole := crop.Within(30, 40, 1000, 900)
	x, y := crop.ToImage(32, 32)
	px, py := whole.ToImage(32, 32)
	if math.Abs(px-x-30) > 1e-9 || math.Abs(py-y-40) > 1e-9 || whole.Width != 1000 || whole.Left != 30 {
		t.Errorf("(%v, %v) is at (%v, %v): %+v", x, y, px, py, whole)
	}
}
