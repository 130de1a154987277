package postprocess

import (
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/models"
)

// following are trial runs of a detector whose best boxes are where something is to be seen, among others anywhere with less
// score. exchanged gives y where x should be.
func following(random *rand.Rand, r reading, exchanged bool) (rows [][]Tensor) {
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
			if exchanged {
				x, y, w, h = y, x, h, w
			}
			values = append(values, written(r, x, y, x+w, y+h)...)
			scores = append(scores, float32(score))
		}
		rows = append(rows, []Tensor{tensor("b", []int64{60, 4}, values...), tensor("s", []int64{60}, scores...)})
	}
	return rows
}

// TestXAndYThatAreExchangedAreFound does so where numbers alone cannot tell them apart, in parts of the image too.
func TestXAndYThatAreExchangedAreFound(t *testing.T) {
	for _, r := range everyReading() {
		for seed := range uint64(seeds) {
			for _, exchanged := range []bool{false, true} {
				e := Examine(newDecoder(t, readAs(r), following(rand.New(rand.NewPCG(seed, 7)), r, exchanged)[0]))
				for side, outputs := range following(rand.New(rand.NewPCG(seed, 7)), r, exchanged) {
					e.Add(outputs, wide, Side(side))
				}
				f := e.Findings()
				told := len(f.Wrong) == 0 && len(f.Doubtful) == 1 && strings.Contains(f.Doubtful[0], "x and y of output \"b\" seem to be exchanged")
				if exchanged != told || !exchanged && len(f.Doubtful) > 0 {
					t.Errorf("%v, seed %d, exchanged %v: %+v", r, seed, exchanged, f)
				}
			}
		}
	}
}

// TestBoxesThatFollowNothingSayNothing has boxes anywhere, as models with random weights give them.
func TestBoxesThatFollowNothingSayNothing(t *testing.T) {
	r := reading{models.BoxXYXY, models.SpaceUnit}
	for seed := range uint64(20 * seeds) {
		random := rand.New(rand.NewPCG(seed, 8))
		rows := following(random, r, false)
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		if seed%2 == 0 {
			rows = boxRows(random, r, 5)
		}
		e := Examine(newDecoder(t, readAs(r), rows[0]))
		for side := range sides {
			e.Add(rows[0], wide, side) // always the same
		}
		if f := e.Findings(); len(f.Doubtful) > 0 {
			t.Errorf("seed %d: %+v", seed, f)
		}
	}
}
