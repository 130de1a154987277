package postprocess

import (
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/repository"
)

// following are trial runs of a detector whose best boxes are where something is to be seen, among others anywhere with less
// score. swapped gives y where x should be.
func following(random *rand.Rand, r reading, swapped bool) (rows [][]Tensor) {
	for side := range sides {
		var values, scores []float32
		for i := range 60 {
			w, h := 0.05+0.1*random.Float64(), 0.05+0.1*random.Float64()
			x, y, score := random.Float64()*(1-w), random.Float64()*(1-h), 0.1*random.Float64()
			if i%2 == 0 {
				score = 0.3 + 0.6*random.Float64()
				switch side {
				case Left:
					x /= 3
				case Right:
					x = (2 + x) / 3 * (1 - w)
				case Top:
					y /= 3
				case Bottom:
					y = (2 + y) / 3 * (1 - h)
				}
			}
			if swapped {
				x, y, w, h = y, x, h, w
			}
			values = append(values, written(r, x, y, x+w, y+h)...)
			scores = append(scores, float32(score))
		}
		rows = append(rows, []Tensor{tensor("b", []int64{60, 4}, values...), tensor("s", []int64{60}, scores...)})
	}
	return rows
}

// TestSwappedXAndYAreFound does so where numbers alone cannot tell them apart, in parts of the image too.
func TestSwappedXAndYAreFound(t *testing.T) {
	for _, r := range everyReading() {
		for seed := range uint64(seeds) {
			for _, swapped := range []bool{false, true} {
				e := NewTrialCheck(newDecoder(t, readAs(r), following(rand.New(rand.NewPCG(seed, 7)), r, swapped)[0]))
				for side, outputs := range following(rand.New(rand.NewPCG(seed, 7)), r, swapped) {
					e.Add(outputs, wide, Side(side))
				}
				f := e.Findings()
				told := len(f.Errors) == 0 && len(f.Warnings) == 1 && strings.Contains(f.Warnings[0], "x and y of output \"b\" seem to be swapped")
				if swapped != told || !swapped && len(f.Warnings) > 0 {
					t.Errorf("%v, seed %d, swapped %v: %+v", r, seed, swapped, f)
				}
			}
		}
	}
}

// TestBoxesThatIgnoreContentGiveNoWarning has boxes anywhere, as models with random weights give them.
func TestBoxesThatIgnoreContentGiveNoWarning(t *testing.T) {
	r := reading{repository.BoxXYXY, repository.SpaceUnit}
	for seed := range uint64(20 * seeds) {
		random := rand.New(rand.NewPCG(seed, 8))
		rows := following(random, r, false)
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		if seed%2 == 0 {
			rows = boxRows(random, r, 5)
		}
		e := NewTrialCheck(newDecoder(t, readAs(r), rows[0]))
		for side := range sides {
			e.Add(rows[0], wide, side) // always the same
		}
		if f := e.Findings(); len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "was the same for each of 5 different images") {
			t.Errorf("seed %d: %+v", seed, f)
		}
	}
}

// TestOnlySwappedDirectionsGiveAWarning puts the best box of each run at a place, among many of little score elsewhere.
func TestOnlySwappedDirectionsGiveAWarning(t *testing.T) {
	type places [sides]point
	middle := point{0.5, 0.5}
	for name, c := range map[string]struct {
		places places
		want   bool
	}{
		"as they should":        {places{Left: {0.2, 0.5}, Right: {0.8, 0.5}, Top: {0.5, 0.2}, Bottom: {0.5, 0.8}}, false},
		"swapped":               {places{Left: {0.5, 0.2}, Right: {0.5, 0.8}, Top: {0.2, 0.5}, Bottom: {0.8, 0.5}}, true},
		"one way only":          {places{Left: {0.5, 0.2}, Right: {0.5, 0.8}, Top: middle, Bottom: middle}, false},
		"the other way only":    {places{Left: middle, Right: middle, Top: {0.2, 0.5}, Bottom: {0.8, 0.5}}, false},
		"from corner to corner": {places{Left: {0.2, 0.2}, Right: {0.8, 0.8}, Top: {0.2, 0.2}, Bottom: {0.8, 0.8}}, false},
		"against it":            {places{Left: {0.5, 0.8}, Right: {0.5, 0.2}, Top: {0.8, 0.5}, Bottom: {0.2, 0.5}}, false},
		"hardly":                {places{Left: {0.5, 0.4}, Right: {0.5, 0.6}, Top: {0.4, 0.5}, Bottom: {0.6, 0.5}}, false},
	} {
		r := reading{repository.BoxXYXY, repository.SpaceUnit}
		var e TrialCheck
		for side := range sides {
			var values, scores []float32
			for range 10 {
				p := c.places[side]
				values, scores = append(values, written(r, p.x-0.1, p.y-0.1, p.x+0.1, p.y+0.1)...), append(scores, 0.9+0.01*float32(side))
			}
			for i := range 400 { // never among the best, or of little weight
				values = append(values, written(r, 0.45, 0.45, 0.55, 0.55+float64(i)/1e4)...)
				scores = append(scores, 0.1)
			}
			outputs := []Tensor{tensor("b", []int64{410, 4}, values...), tensor("s", []int64{410}, scores...)}
			if e == nil {
				e = NewTrialCheck(newDecoder(t, readAs(r), outputs))
			}
			e.Add(outputs, wide, side)
		}
		if f := e.Findings(); len(f.Errors) > 0 || (len(f.Warnings) > 0) != c.want {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
