package postprocess

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// wide is an image whose pixels, and those of its input, cannot be mixed up with each other, nor its width with its height.
var wide = geometry.Transform{Width: 1200, Height: 200, InputW: 400, InputH: 100, ScaleX: 1.0 / 3, ScaleY: 0.5}

// written is a box, given in fractions of the image, in a format and a space.
func written(r reading, x1, y1, x2, y2 float64) []float32 {
	w, h := extent(r.space, wide)
	x1, x2, y1, y2 = x1*w, x2*w, y1*h, y2*h
	var row [4]float64
	switch r.format {
	case repository.BoxXYXY:
		row = [4]float64{x1, y1, x2, y2}
	case repository.BoxYXYX:
		row = [4]float64{y1, x1, y2, x2}
	case repository.BoxCXCYWH:
		row = [4]float64{(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1}
	case repository.BoxXYWH:
		row = [4]float64{x1, y1, x2 - x1, y2 - y1}
	}
	return []float32{float32(row[0]), float32(row[1]), float32(row[2]), float32(row[3])}
}

// boxRows are outputs of trial runs: some boxes each, a few of which reach a little beyond the image, and rows of zeros
// behind them.
func boxRows(random *rand.Rand, r reading, most int) (rows [][]Tensor) {
	for range trialRows {
		var values []float32
		n := random.IntN(most + 1)
		for i := range n {
			w, h := 0.03+0.3*random.Float64(), 0.03+0.3*random.Float64()
			x, y := 1.05*random.Float64()*(1-w), 1.05*random.Float64()*(1-h)
			if most > 10 && i%10 == 0 {
				x += 0.4 // further beyond it, as some boxes of no matter do
			}
			values = append(values, written(r, x, y, x+w, y+h)...)
		}
		values = append(values, 0, 0, 0, 0)
		scores := make([]float32, n+1)
		for i := range scores {
			scores[i] = random.Float32()
		}
		rows = append(rows, []Tensor{tensor("b", []int64{int64(n + 1), 4}, values...), tensor("s", []int64{int64(n + 1)}, scores...)})
	}
	for i := range rows {
		for j := range rows[i] {
			rows[i][j].Shape[0] = int64(len(rows[i][1].Data) / 4)
		}
	}
	return rows
}

func readAs(r reading) repository.Definition {
	d := repository.Definition{Task: repository.Detection, Output: repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s",
		BoxFormat: r.format, BoxSpace: r.space}}
	if r.space == repository.SpaceOriginal {
		d.Input.Extra = []repository.Extra{{Name: "size", Value: repository.OriginalSizeWH}}
	}
	return d.WithDefaults()
}

func everyReading() (list []reading) {
	for _, space := range []string{repository.SpaceUnit, repository.SpaceInput, repository.SpaceOriginal} {
		for _, format := range []string{repository.BoxXYXY, repository.BoxYXYX, repository.BoxCXCYWH, repository.BoxXYWH} {
			list = append(list, reading{format, space})
		}
	}
	return list
}

// tellable reports whether numbers can tell that boxes of one reading are not of the other: not a center from a corner where
// both come with sizes, nor x from y in parts of the image, nor pixels of the input from those of the larger image.
func tellable(is, said reading) bool {
	if is.space != said.space {
		return is.space == repository.SpaceUnit || said.space == repository.SpaceUnit
	}
	sized := func(r reading) bool { return r.format == repository.BoxCXCYWH || r.format == repository.BoxXYWH }
	if sized(is) == sized(said) {
		return !sized(is) && is.space != repository.SpaceUnit
	}
	return true
}

// TestWrongReadingsAreFound tries every reading with boxes of every other one.
func TestWrongReadingsAreFound(t *testing.T) {
	for _, is := range everyReading() {
		for _, said := range everyReading() {
			for seed := range uint64(seeds) {
				d := readAs(said)
				if is.space == repository.SpaceOriginal {
					d.Input.Extra = readAs(is).Input.Extra
				}
				verdict, text := found(t, d, wide, boxRows(rand.New(rand.NewPCG(seed, 3)), is, 60))
				switch {
				case is == said && verdict != "":
					t.Errorf("boxes of %v, seed %d: found %q: %s", is, seed, verdict, text)
				case is != said && tellable(is, said) && verdict == "":
					t.Errorf("boxes of %v read as %v, seed %d: nothing is found", is, said, seed)
				}
			}
		}
	}
}

// TestRightReadingsGiveNoFindings checks that few boxes, or none, in their own reading give no findings.
func TestRightReadingsGiveNoFindings(t *testing.T) {
	for _, r := range everyReading() {
		for seed := range uint64(10 * seeds) {
			if verdict, text := found(t, readAs(r), wide, boxRows(rand.New(rand.NewPCG(seed, 4)), r, int(seed%4))); verdict != "" {
				t.Errorf("boxes of %v, seed %d: found %q: %s", r, seed, verdict, text)
			}
		}
	}
}

// TestOneBoxIsEnoughForAWarning reads a box of pixels as fractions.
func TestOneBoxIsEnoughForAWarning(t *testing.T) {
	rows := [][]Tensor{{tensor("b", []int64{1, 4}, 40, 10, 200, 90), tensor("s", []int64{1}, 0.9)}}
	verdict, text := found(t, readAs(reading{repository.BoxXYXY, repository.SpaceUnit}), wide, rows)
	if verdict != "doubtful" || !strings.Contains(text, "only 0 of 1 boxes") || !strings.Contains(text, "box_space: input") {
		t.Errorf("found %q: %s", verdict, text)
	}
}

// TestFewSizesBelowPositionsAllowCorners: corners are suspected as long as at most one of fifty last pairs is below its first.
func TestFewSizesBelowPositionsAllowCorners(t *testing.T) {
	for unordered, want := range map[int]string{0: "doubtful", 1: "doubtful", 2: ""} {
		var values, scores []float32
		for i := range 50 {
			row := []float32{0.5, 0.5, 0.6, 0.6}
			if i < unordered {
				row = []float32{0.5, 0.5, 0.3, 0.3}
			} else if i >= 44 {
				row = []float32{0.8, 0.8, 0.82, 0.82} // beyond the image, if it is a center and a size
			}
			values, scores = append(values, row...), append(scores, 0.9)
		}
		rows := [][]Tensor{{tensor("b", []int64{50, 4}, values...), tensor("s", []int64{50}, scores...)}}
		d := readAs(reading{repository.BoxCXCYWH, repository.SpaceUnit})
		verdict, text := found(t, d, wide, rows)
		if got := strings.Contains(text, "as in second corners"); got != (want != "") {
			t.Errorf("%d unordered: found %q: %s", unordered, verdict, text)
		}
	}
}

func TestWrongScoresClassesAndNamesAreFound(t *testing.T) {
	unit := reading{repository.BoxXYXY, repository.SpaceUnit}
	box := tensor("b", []int64{1, 4}, 0.1, 0.2, 0.5, 0.9)
	for name, c := range map[string]struct {
		change  func(*repository.Definition)
		score   float32
		class   float32
		want    string
		message string
	}{
		"all as it should be":                 {func(*repository.Definition) {}, 0.9, 1, "", ""},
		"a score that is a logit":             {func(*repository.Definition) {}, 4.5, 1, "wrong", "must hold probabilities"},
		"a score above 1":                     {func(*repository.Definition) {}, 1.5, 1, "wrong", "its scores ranged from 1.5 to 1.5"},
		"a class beyond the labels from 1":    {func(d *repository.Definition) { d.Output.ClassFirst = 1 }, 0.9, 3, "wrong", "had class 3 in trial runs, but labels.txt has 2 labels, the first for class 1 and labels; try output.class_first: 2"},
		"a class beyond the labels":           {func(*repository.Definition) {}, 0.9, 2, "wrong", "had class 2 in trial runs, but labels.txt has 2 labels"},
		"one that would not be answered":      {func(*repository.Definition) {}, 0.1, 2, "doubtful", "output.class_first"},
		"classes counted from 1, as declared": {func(d *repository.Definition) { d.Output.ClassFirst = 1 }, 0.9, 2, "", ""},
		"a class that is none, unanswered":    {func(*repository.Definition) {}, 0.1, 0.5, "doubtful", "class numbers"},
		"a class that is none":                {func(*repository.Definition) {}, 0.9, 0.5, "wrong", "class numbers"},
		"a name that means y first":           {func(d *repository.Definition) { d.Output.Boxes = "detection_boxes" }, 0.9, 1, "doubtful", "yxyx"},
		"that name with y first": {func(d *repository.Definition) { d.Output.Boxes, d.Output.BoxFormat = "detection_boxes:0", "yxyx" },
			0.9, 1, "", ""},
		"an image size that is no input": {func(d *repository.Definition) { d.Output.BoxSpace = repository.SpaceOriginal }, 0.9, 1, "doubtful", "none of input.extra"},
	} {
		d := readAs(unit)
		d.Labels, d.LabelsFile, d.Output.Classes = []string{"cat", "dog"}, "labels.txt", "c"
		c.change(&d)
		box := box
		box.Name = d.Output.Boxes
		rows := [][]Tensor{{box, tensor("s", []int64{1}, c.score), tensor("c", []int64{1}, c.class)}}
		if verdict, text := found(t, d, wide, rows); verdict != c.want || !strings.Contains(text, c.message) {
			t.Errorf("%s: found %q, want %q and %q: %s", name, verdict, c.want, c.message, text)
		}
	}
}

// TestBoxesFarOutsideAreDiscarded moves and enlarges a box: far outside it is discarded and counted, and others are not
// affected.
func TestBoxesFarOutsideAreDiscarded(t *testing.T) {
	for _, r := range everyReading() {
		for _, c := range []struct {
			x1, y1, x2, y2 float64
			discarded      int
		}{
			{0.1, 0.1, 0.5, 0.5, 0}, {-0.5, -0.5, 1.5, 1.5, 0}, {-9, 0, 1, 1, 0}, {0, 0, 1, 10, 0}, {-11, 0, 1, 1, 1}, {0, 0, 1, 12, 1},
			{0, -1e18, 1, 1e18, 1}, {-1e30, -1e30, 1e30, 1e30, 1}, {30, 30, 31, 31, 1},
		} {
			values := append(written(r, c.x1, c.y1, c.x2, c.y2), written(r, 0.2, 0.2, 0.4, 0.4)...)
			outputs := []Tensor{tensor("b", []int64{2, 4}, values...), tensor("s", []int64{2}, 0.9, 0.8)}
			answer, err := newDecoder(t, readAs(r), outputs).Decode(outputs, wide, Params{})
			if err != nil {
				t.Fatal(err)
			}
			if d := answer.(*Detected); d.Discarded != c.discarded || len(d.Boxes) != 2-c.discarded {
				t.Errorf("%v, %v: %d boxes are discarded, want %d: %+v", r, c, d.Discarded, c.discarded, d.Boxes)
			}
		}
	}
}

// TestASingleBoxMayLackItsDimension feeds one box in all shapes that a batch of one gives it.
func TestASingleBoxMayLackItsDimension(t *testing.T) {
	d := readAs(reading{repository.BoxXYXY, repository.SpaceInput})
	d.Labels, d.LabelsFile = []string{"cat", "dog"}, "labels.txt"
	named := d
	named.Output.Classes = "c"
	box := []float32{40, 10, 80, 30}
	for _, shape := range [][]int64{{4}, {1, 4}, {1, 1, 4}, {-1, 4}} {
		for what, c := range map[string]struct {
			d      repository.Definition
			scores []float32
			shapes [][]int64 // of the scores, and of the classes
		}{
			"a class per box": {named, []float32{0.9}, [][]int64{{}, {1}, {-1}, {1, 1}}},
			"a table":         {d, []float32{0.1, 0.9}, [][]int64{{2}, {1, 2}, {-1, 2}}},
		} {
			for _, s := range c.shapes {
				loaded := []Tensor{{"b", repository.Float32, shape, nil}, {"s", repository.Float32, s, nil}, {"c", repository.Int64, s, nil}}
				decoder, err := New(c.d, loaded)
				if err != nil {
					t.Errorf("%s, boxes %v, scores %v: %v", what, shape, s, err)
					continue
				}
				row := []Tensor{tensor("b", []int64{4}, box...), tensor("s", []int64{int64(len(c.scores))}, c.scores...),
					{"c", repository.Int64, []int64{}, encode(repository.Int64, 1)}}
				answer, err := decoder.Decode(row, wide, Params{})
				if err != nil {
					t.Errorf("%s, boxes %v, scores %v: %v", what, shape, s, err)
					continue
				}
				if got := fmt.Sprint(answer.(*Detected).Boxes); got != "[{1 dog 0.8999999761581421 120 20 240 60}]" {
					t.Errorf("%s, boxes %v, scores %v: %s", what, shape, s, got)
				}
			}
		}
	}
}

// TestLargeBoxesInTheMiddleAreNoCorners has boxes whose sizes are all above their positions, as in an image with one large
// object.
func TestLargeBoxesInTheMiddleAreNoCorners(t *testing.T) {
	r := reading{repository.BoxCXCYWH, repository.SpaceUnit}
	random := rand.New(rand.NewPCG(1, 5))
	var values, scores []float32
	for range 40 {
		w, h := 0.6+0.3*random.Float64(), 0.6+0.3*random.Float64()
		x, y := 0.4+0.1*random.Float64(), 0.4+0.1*random.Float64()
		values = append(values, written(r, x-w/2, y-h/2, x+w/2, y+h/2)...)
		scores = append(scores, 0.5)
	}
	rows := [][]Tensor{{tensor("b", []int64{40, 4}, values...), tensor("s", []int64{40}, scores...)}}
	if verdict, text := found(t, readAs(r), wide, rows); verdict != "" {
		t.Errorf("%q: %s", verdict, text)
	}
}

func TestDoubleSigmoidIsAWarning(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 6))
	for _, n := range []int64{20, 1} { // a table, and scores of what was found, which end where a threshold does
		rows := boxRows(random, reading{repository.BoxXYXY, repository.SpaceUnit}, 60)
		for i, outputs := range rows {
			scores := make([]float32, n*outputs[0].Shape[0])
			for j := range scores {
				scores[j] = 0.5 + 0.231*random.Float32()
			}
			rows[i][1] = tensor("s", []int64{outputs[0].Shape[0], n}, scores...)
		}
		want := map[int64]string{20: "doubtful", 1: ""}[n]
		if verdict, text := found(t, readAs(reading{repository.BoxXYXY, repository.SpaceUnit}), wide, rows); verdict != want {
			t.Errorf("%d scores a box: %q: %s", n, verdict, text)
		}
	}
}

// TestRandomBoxesAreNoErrors checks right definitions with boxes of models with random weights, many of them larger than the
// image.
func TestRandomBoxesAreNoErrors(t *testing.T) {
	for _, r := range everyReading() {
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 9))
			var values, scores []float32
			for range 60 {
				x, y := random.Float64(), random.Float64()
				w, h := math.Exp(1+random.NormFloat64()), math.Exp(1+random.NormFloat64())
				values = append(values, written(r, x-w/2, y-h/2, x+w/2, y+h/2)...)
				scores = append(scores, random.Float32())
			}
			for range 60 { // and what fills the list up
				values, scores = append(values, written(r, -1, -1, -1, -1)...), append(scores, 0)
			}
			rows := [][]Tensor{{tensor("b", []int64{120, 4}, values...), tensor("s", []int64{120}, scores...)}}
			if verdict, text := found(t, readAs(r), wide, rows); verdict != "" {
				t.Errorf("%v, seed %d: %q: %s", r, seed, verdict, text)
			}
		}
	}
}

// TestAnotherUnitIsOnlyCertainForMostBoxes: boxes in pixels, read as fractions. Where most of them do not lie on the image in pixels
// either, that is no proof.
func TestAnotherUnitIsOnlyCertainForMostBoxes(t *testing.T) {
	for onImage, want := range map[int]string{8: "doubtful", 14: "wrong", 20: "wrong"} {
		var values, scores []float32
		for i := range 20 {
			x, y := float32(10+i), float32(20+2*i)
			if i >= onImage {
				x += 2000
			}
			values, scores = append(values, x, y, x+30, y+20), append(scores, 0.9)
		}
		rows := [][]Tensor{{tensor("b", []int64{20, 4}, values...), tensor("s", []int64{20}, scores...)}}
		if verdict, text := found(t, readAs(reading{repository.BoxXYXY, repository.SpaceUnit}), wide, rows); verdict != want {
			t.Errorf("%d of 20 on the image: found %q, want %q: %s", onImage, verdict, want, text)
		}
	}
}
