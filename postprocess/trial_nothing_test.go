package postprocess

import (
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/repository"
)

// TestNothingFoundInAnyImageIsAWarning: the scores of the best box of a black image and of seven others.
func TestNothingFoundInAnyImageIsAWarning(t *testing.T) {
	for name, c := range map[string]struct {
		scores []float32
		scale  float64
		want   string
	}{
		"found in one":                        {[]float32{1e-4, 0.018, 0.6, 0.002, 0.03, 0.05, 0.05, 0.04}, 1, ""},
		"hardly found in one":                 {[]float32{0.02, 0.02, 0.0225, 0.02, 0.01, 0.01, 0.01, 0.01}, 1, ""},
		"found in none":                       {[]float32{1.03e-4, 7.1e-5, 7.3e-5, 6.8e-5, 6.8e-5, 1.03e-4, 1e-4, 6.9e-5}, 1.0 / 255, "input.scale: with input.scale: 0.003922, input.mean and input.std, pixels become 0 to 1, and scores hardly depended on the image in trial runs: the best were from 6.8e-05 to 0.000103, that of a black image being 0.000103, so that nothing was found in any; try input.scale: 1"},
		"found in none, with large pixels":    {[]float32{0.171, 0.074, 0.125, 0.08, 0.0975, 0.122, 0.152, 0.09}, 1, "try input.scale: 0.0039"},
		"found in none, and other than black": {[]float32{0.171, 0.074, 0.125, 0.08, 0.0975, 0.122, 0.152, 0.09}, 1.0 / 255, ""},
		"sure of the black image":             {[]float32{0.98, 0.69, 0.97, 0.97, 0.77, 0.77, 0.79, 0.77}, 1, ""},
		"too few images":                      {[]float32{0.02, 0.01, 0.01, 0.01}, 1, ""},
		"nothing in the black image":          {[]float32{0, 0, 0, 0, 0, 0, 0, 1e-3}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, decode := range []string{repository.DecodeRows, repository.DecodeYOLOX} {
				d := repository.Definition{Task: repository.Detection, Labels: []string{"a", "b"}, LabelsFile: "labels.txt",
					Input: repository.Input{Width: 64, Height: 64, Scale: c.scale}, Output: repository.Output{Decode: decode}}.WithDefaults()
				random := rand.New(rand.NewPCG(1, 9))
				var rows [][]Tensor
				for _, score := range c.scores {
					if decode == repository.DecodeRows {
						x, y := float32(60*random.Float64()), float32(60*random.Float64())
						rows = append(rows, []Tensor{tensor("y", []int64{2, 6}, x, y, x+4, y+4, score, 0, y, x, y+3, x+3, score/2, 1)})
						continue
					}
					values := grid(random, d, false, 1, func(float64) float64 { return random.Float64() / 2 })
					for at := 0; at < len(values); at += 7 {
						values[at+4] = score / 4 // of objectness × class
					}
					values[4], values[5] = score, 1
					rows = append(rows, []Tensor{tensor("y", []int64{int64(len(values) / 7), 7}, values...)})
				}
				verdict, text := found(t, d, square, rows)
				if (verdict == "doubtful") != (c.want != "") || verdict == "wrong" || !strings.Contains(text, c.want) {
					t.Errorf("%s: %q: %s", decode, verdict, text)
				}
			}
		})
	}
}

// TestDoubtsAreNotWarnings: they can be left out where the scale is known, which the other warnings cannot.
func TestDoubtsAreNotWarnings(t *testing.T) {
	for what, c := range map[string]struct {
		scale float64
		want  [2]int // warnings and doubts
	}{
		"scores that do not depend on the image": {1.0 / 255, [2]int{0, 1}},
		"a scale that no one uses":               {255, [2]int{1, 0}},
	} {
		d := classes(repository.DecodeSoftmax)
		d.Input.Scale = c.scale
		d = d.WithDefaults()
		e := NewTrialCheck(newDecoder(t, d, []Tensor{tensor("y", []int64{20}, make([]float32, 20)...)}))
		random := rand.New(rand.NewPCG(1, 2))
		base := each(make([]float32, 20), func(float64) float64 { return random.NormFloat64() })
		for range trialRows {
			e.Add([]Tensor{tensor("y", []int64{20}, each(base, func(v float64) float64 { return v + 1e-3*random.NormFloat64() })...)}, square, Everywhere)
		}
		if f := e.Findings(); len(f.Errors) > 0 || [2]int{len(f.Warnings), len(f.Doubts)} != c.want {
			t.Errorf("%s: %+v", what, f)
		}
	}
}

// TestClassesBeforeTheFirstAreCounted: boxes of class 0 that do not reach the threshold, among those of classes 1 to 4.
func TestClassesBeforeTheFirstAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		first, zeros, of int
		want             string
	}{
		"many are of class 0":          {1, 12, 32, "says 1, but output \"y\" had boxes of class 0 in trial runs, which are dropped as background; if that is the first label, try output.class_first: 0"},
		"few are, by chance":           {1, 4, 8, ""},
		"fewer than one in the labels": {1, 6, 32, ""},
		"they are labeled":             {0, 12, 32, ""},
	} {
		d := widely(repository.Output{Decode: repository.DecodeRows, ClassFirst: c.first})
		d.Labels = []string{"a", "b", "c", "d"}
		random := rand.New(rand.NewPCG(2, 9))
		var rows [][]Tensor
		for i := range c.of {
			class := float32(1 + i%3)
			if i < c.zeros {
				class = 0
			}
			x, y := float32(350*random.Float64()), float32(80*random.Float64())
			rows = append(rows, []Tensor{tensor("y", []int64{1, 6}, x, y, x+20, y+10, 0.1+0.1*float32(i)/32, class)})
		}
		if verdict, text := found(t, d, wide, rows); (verdict == "doubtful") != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q: %s", name, verdict, text)
		}
	}
}

func TestNamesOfTheObjectDetectionAPICountFromOne(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		first  int
		lowest float32
		want   string
	}{
		"its name for classes":          {"detection_classes:0", 0, 1, "try output.class_first: 1"},
		"counted from one":              {"detection_classes:0", 1, 1, ""},
		"with a box of class 0":         {"detection_classes:0", 0, 0, ""},
		"another name, which is no law": {"classes", 0, 1, ""},
	} {
		d := widely(repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", Classes: c.output, BoxSpace: repository.SpaceUnit, ClassFirst: c.first})
		d.Labels = []string{"a", "b", "c"}
		random := rand.New(rand.NewPCG(3, 9))
		var rows [][]Tensor
		for i := range manyScores {
			x, y, class := float32(random.Float64()/2), float32(random.Float64()/2), float32(1+i%2)
			if i == 0 {
				class = c.lowest
			}
			rows = append(rows, []Tensor{tensor("b", []int64{1, 4}, x, y, x+0.2, y+0.3), tensor("s", []int64{1}, float32(0.2+0.5*random.Float64())), tensor(c.output, []int64{1}, class)})
		}
		if verdict, text := found(t, d, wide, rows); (verdict == "doubtful") != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q: %s", name, verdict, text)
		}
	}
}
