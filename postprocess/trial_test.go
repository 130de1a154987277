package postprocess

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

const trialRows, seeds = 6, 25

// found says what an examination of some rows finds: "wrong", "doubtful" or nothing, and all that it says.
func found(t *testing.T, d repository.Definition, transform geometry.Transform, rows [][]Tensor) (verdict, text string) {
	t.Helper()
	e := NewTrialCheck(newDecoder(t, d, rows[0]))
	for _, outputs := range rows {
		e.Add(outputs, transform, Everywhere)
	}
	f := e.Findings()
	switch {
	case len(f.Errors) > 0:
		return "wrong", fmt.Sprint(f.Errors, f.Warnings, f.Doubts)
	case len(f.Warnings)+len(f.Doubts) > 0:
		return "doubtful", fmt.Sprint(f.Warnings, f.Doubts)
	}
	return "", ""
}

// encodeFloats are values as the elements of a dtype.
func encodeFloats(dtype repository.DType, values []float32) (data []byte) {
	for _, v := range values {
		switch dtype {
		case repository.Float16:
			data = binary.NativeEndian.AppendUint16(data, float16.Bits(v))
		case repository.Float64:
			data = binary.NativeEndian.AppendUint64(data, math.Float64bits(float64(v)))
		default:
			data = binary.NativeEndian.AppendUint32(data, math.Float32bits(v))
		}
	}
	return data
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// softmaxed are probabilities of logits.
func softmaxed(logits []float32) []float32 {
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v))
	}
	out := make([]float32, len(logits))
	for i, v := range logits {
		out[i] = float32(math.Exp(float64(v)) / sum)
	}
	return out
}

func each(values []float32, f func(float64) float64) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		out[i] = float32(f(float64(v)))
	}
	return out
}

func TestWrongClassifiersAreFound(t *testing.T) {
	kinds := map[string]func([]float32) []float32{
		"logits":            func(v []float32) []float32 { return v },
		"log probabilities": func(v []float32) []float32 { return each(softmaxed(v), math.Log) },
		"probabilities":     softmaxed,
		"sigmoids":          func(v []float32) []float32 { return each(v, sigmoid) },
	}
	for _, c := range []struct{ kind, decode, want string }{
		{"logits", repository.DecodeSoftmax, ""},
		{"log probabilities", repository.DecodeSoftmax, ""},
		{"probabilities", repository.DecodeProbabilities, ""},
		{"sigmoids", repository.DecodeProbabilities, ""},
		{"probabilities", repository.DecodeSoftmax, "wrong"},
		{"sigmoids", repository.DecodeSoftmax, "doubtful"},
		{"logits", repository.DecodeProbabilities, "wrong"},
		{"log probabilities", repository.DecodeProbabilities, "wrong"},
	} {
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 1))
			n := 5 + random.IntN(100)
			for _, dtype := range []repository.DType{repository.Float32, repository.Float16, repository.Float64} {
				var rows [][]Tensor
				for range trialRows {
					values := each(make([]float32, n), func(float64) float64 { return 4 * random.NormFloat64() })
					rows = append(rows, []Tensor{{"y", dtype, []int64{int64(n)}, encodeFloats(dtype, kinds[c.kind](values))}})
				}
				if verdict, text := found(t, classes(c.decode), square, rows); verdict != c.want {
					t.Errorf("%s of %s read as %s, seed %d: found %q, want %q: %s", dtype, c.kind, c.decode, seed, verdict, c.want, text)
				}
			}
		}
	}
}

func TestConstantClassifierIsOnlyAWarning(t *testing.T) {
	row := []Tensor{tensor("y", []int64{3}, 0.9, 0.05, 0.05)}
	if verdict, text := found(t, classes(repository.DecodeSoftmax), square, [][]Tensor{row, row}); verdict != "doubtful" || !strings.Contains(text, "probabilities already") {
		t.Errorf("%q: %s", verdict, text)
	}
}

// grid makes a raw grid of YOLOX, or with decoded the boxes that it means, in pixels times scale.
func grid(random *rand.Rand, d repository.Definition, decoded bool, scale float64, score func(float64) float64) []float32 {
	var values []float32
	for _, s := range d.Output.Strides {
		stride := float64(s)
		for cell := range (d.Input.Width / s) * (d.Input.Height / s) {
			column, line := float64(cell%(d.Input.Width/s)), float64(cell/(d.Input.Width/s))
			x, y, w, h := random.NormFloat64(), random.NormFloat64(), random.NormFloat64(), random.NormFloat64()
			if decoded {
				x, y = (x+column)*stride*scale, (y+line)*stride*scale
				w, h = math.Exp(w)*stride*scale, math.Exp(h)*stride*scale
			}
			values = append(values, float32(x), float32(y), float32(w), float32(h))
			for range 3 {
				values = append(values, float32(score(3*random.NormFloat64()-3)))
			}
		}
	}
	return values
}

func TestWrongGridsAreFound(t *testing.T) {
	d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 128, Height: 96}, Labels: []string{"a", "b"},
		LabelsFile: "labels.txt", Output: repository.Output{Decode: repository.DecodeYOLOX}}.WithDefaults()
	self := func(x float64) float64 { return x }
	for name, c := range map[string]struct {
		decoded bool
		scale   float64
		score   func(float64) float64
		want    string
		say     string
	}{
		"a raw grid":                      {false, 1, sigmoid, "", ""},
		"a grid that is decoded":          {true, 1, sigmoid, "wrong", "decoded already"},
		"scores without their sigmoid":    {false, 1, self, "wrong", "must hold probabilities"},
		"scores that had it twice":        {false, 1, func(x float64) float64 { return sigmoid(sigmoid(x)) }, "doubtful", "two sigmoids"},
		"a grid decoded to parts":         {true, 1.0 / 112, sigmoid, "doubtful", "decoded already"},
		"decoded, scores without sigmoid": {true, 1, self, "wrong", "decoded already"},
	} {
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 2))
			var rows [][]Tensor
			for range trialRows {
				values := grid(random, d, c.decoded, c.scale, c.score)
				rows = append(rows, []Tensor{tensor("y", []int64{int64(len(values) / 7), 7}, values...)})
			}
			if verdict, text := found(t, d, square, rows); verdict != c.want || !strings.Contains(text, c.say) {
				t.Errorf("%s, seed %d: found %q, want %q: %s", name, seed, verdict, c.want, text)
			}
		}
	}
}

// TestMaxBoxSize holds the bound between a raw grid and one that is decoded already: a box a hundred times as large as
// the input. It must be passed in every run to be certain, in a grid of many cells whose sizes are not below 0.
func TestMaxBoxSize(t *testing.T) {
	for _, c := range []struct {
		stride int
		below  int // cells with sizes below 0
		times  []float64
		want   string
	}{
		{8, 0, []float64{1, 50, 99}, ""},
		{8, 0, []float64{1, 101, 1}, "doubtful"},
		{8, 0, []float64{101, 1e9, 500}, "wrong"},
		{8, 1, []float64{101, 1e9, 500}, "wrong"},
		{8, 16, []float64{101, 1e9, 500}, ""},
		{32, 0, []float64{101, 1e9, 500}, "doubtful"},
	} {
		d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 64, Height: 32},
			Output: repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{c.stride}}}.WithDefaults()
		n := 64 * 32 / c.stride / c.stride
		var rows [][]Tensor
		for _, times := range c.times {
			values := make([]float32, 6*n) // the last cell's height is so many times the input's
			for cell := range n {
				values[6*cell+2], values[6*cell+3] = 0.1, 0.1
				if cell < c.below {
					values[6*cell+2], values[6*cell+3] = -1, -1
				}
			}
			values[6*n-3] = float32(math.Log(times * 32 / float64(c.stride)))
			rows = append(rows, []Tensor{tensor("y", []int64{int64(n), 6}, values...)})
		}
		if verdict, text := found(t, d, square, rows); verdict != c.want {
			t.Errorf("%+v: found %q: %s", c, verdict, text)
		}
	}
}

// TestRandomGridsAreNoErrors holds right definitions against numbers as models give them whose weights are random, or all alike.
func TestRandomGridsAreNoErrors(t *testing.T) {
	d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 128, Height: 96}, Labels: []string{"a", "b"},
		LabelsFile: "labels.txt", Output: repository.Output{Decode: repository.DecodeYOLOX}}.WithDefaults()
	for name, change := range map[string]func(float32) float32{
		"tiny":      func(v float32) float32 { return v / 1000 },
		"large":     func(v float32) float32 { return 30 * v },
		"exploding": func(v float32) float32 { return 1e6 * v },
		"all alike": func(float32) float32 { return 0.3 },
	} {
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 7))
			var rows [][]Tensor
			for range trialRows {
				values := grid(random, d, false, 1, sigmoid)
				for i := range values {
					if i%7 < 4 {
						values[i] = change(values[i])
					}
				}
				rows = append(rows, []Tensor{tensor("y", []int64{int64(len(values) / 7), 7}, values...)})
			}
			if verdict, text := found(t, d, square, rows); verdict != "" {
				t.Errorf("a raw grid of %s numbers, seed %d: %q: %s", name, seed, verdict, text)
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 8))
	var rows [][]Tensor
	for range trialRows { // logits that went through ReLU
		values := make([]float32, 10)
		for i := range values {
			values[i] = max(0, float32(0.3*random.NormFloat64()))
		}
		rows = append(rows, []Tensor{tensor("y", []int64{10}, values...)})
	}
	if verdict, text := found(t, classes(repository.DecodeSoftmax), square, rows); verdict != "" {
		t.Errorf("logits above 0: %q: %s", verdict, text)
	}
}

func TestScoresThatAddUpOnceAreNotProbabilities(t *testing.T) {
	rows := [][]Tensor{{tensor("y", []int64{6}, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1)}}
	for i := range 5 {
		rows = append(rows, []Tensor{tensor("y", []int64{6}, 0.9, 0.8, float32(i+1)/10, 0.1, 0.1, 0.1)})
	}
	if verdict, text := found(t, classes(repository.DecodeSoftmax), square, rows); verdict != "doubtful" || strings.Contains(text, "already") {
		t.Errorf("%q: %s", verdict, text)
	}
}

func TestGridDecodedToFractionsIsAWarning(t *testing.T) {
	d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 128, Height: 96},
		Output: repository.Output{Decode: repository.DecodeYOLOX}}.WithDefaults()
	random := rand.New(rand.NewPCG(1, 1))
	n := 16*12 + 8*6 + 4*3
	row := make([]float32, 7*n)
	for i := range row {
		row[i] = random.Float32()
	}
	if verdict, text := found(t, d, square, [][]Tensor{{tensor("y", []int64{int64(n), 7}, row...)}}); verdict != "doubtful" || !strings.Contains(text, "decoded already") {
		t.Errorf("%q: %s", verdict, text)
	}
	clear(row) // an empty grid is raw
	if verdict, text := found(t, d, square, [][]Tensor{{tensor("y", []int64{int64(n), 7}, row...)}}); verdict != "" {
		t.Errorf("%q: %s", verdict, text)
	}
}
