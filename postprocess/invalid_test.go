package postprocess

import (
	"math"
	"slices"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

func TestDetectionRejectsBrokenOutputs(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	small := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 32, Height: 32},
		Output: repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{32}}}.WithDefaults()
	cell := func(v ...float32) []Tensor { return []Tensor{tensor("y", []int64{1, 6}, v...)} }
	list := detector(func(*repository.Output) {})
	split := detector(func(o *repository.Output) { o.Classes = "c" })
	box := tensor("b", []int64{1, 4}, 0, 0, 9, 9)
	score := tensor("s", []int64{1}, 0.9)
	of := func(o repository.Output) repository.Definition {
		return repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 32, Height: 32}, Output: o}.WithDefaults()
	}
	columns, five := of(repository.Output{Decode: repository.DecodeYOLO}), of(repository.Output{Decode: repository.DecodeYOLOv5})
	raw := of(repository.Output{Decode: repository.DecodeYOLOv5Raw, Strides: []int{32}, Anchors: []float64{9, 9}, Names: []string{"y"}})
	tiny := geometry.Transform{Width: 32, Height: 32, InputW: 32, InputH: 32, ScaleX: 1, ScaleY: 1}
	queries := of(repository.Output{Decode: repository.DecodeDETR, Boxes: "b", Scores: "s"})
	for name, c := range map[string]struct {
		def       repository.Definition
		outputs   []Tensor
		transform geometry.Transform
		want      string
	}{
		"a score of NaN in columns":          {columns, []Tensor{tensor("y", []int64{5, 6}, append(make([]float32, 28), nan, 0.9)...)}, square, "score of NaN"},
		"a center of NaN in columns":         {columns, []Tensor{tensor("y", []int64{5, 6}, append([]float32{nan}, slices.Repeat([]float32{0.9}, 29)...)...)}, square, "not finite"},
		"a score of NaN after an objectness": {five, []Tensor{tensor("y", []int64{1, 6}, 1, 1, 2, 2, 0.9, nan)}, square, "score of NaN"},
		"an objectness of NaN in YOLOv5":     {five, []Tensor{tensor("y", []int64{1, 6}, 1, 1, 2, 2, nan, 1)}, square, "score of NaN"},
		"a raw class score of NaN":           {raw, []Tensor{tensor("y", []int64{1, 1, 1, 6}, 0, 0, 0, 0, 9, nan)}, tiny, "not finite"},
		"a raw objectness of NaN":            {raw, []Tensor{tensor("y", []int64{1, 1, 1, 6}, 0, 0, 0, 0, nan, 9)}, tiny, "not finite"},
		"a raw center of NaN":                {raw, []Tensor{tensor("y", []int64{1, 1, 1, 6}, nan, 0, 0, 0, 9, 9)}, tiny, "not finite"},
		"a logit of NaN":                     {queries, []Tensor{box, tensor("s", []int64{1, 2}, 0.9, nan)}, square, "not finite"},
		"a center of NaN of a query":         {queries, []Tensor{tensor("b", []int64{1, 4}, nan, 0, 1, 1), tensor("s", []int64{1, 2}, 9, 0)}, square, `output "b" holds a value that is not finite`},
		"an objectness of NaN":               {small, cell(0, 0, 0, 0, nan, 1), square, "objectness of NaN"},
		"an objectness above one":            {small, cell(0, 0, 0, 0, 3, 1), square, "objectness of 3"},
		"a class score of NaN":               {small, cell(0, 0, 0, 0, 1, nan), square, "score of NaN"},
		"a center of NaN":                    {small, cell(nan, 0, 0, 0, 1, 1), square, "not finite"},
		"a size without end":                 {small, cell(0, 0, 1e9, 0, 1, 1), square, "not finite"},
		"a score of NaN":                     {list, []Tensor{box, tensor("s", []int64{1, 2}, 0.9, nan)}, square, "score of NaN"},
		"a score below zero":                 {list, []Tensor{box, tensor("s", []int64{1, 2}, 0.9, -1)}, square, "score of -1"},
		"a corner without end":               {list, []Tensor{tensor("b", []int64{1, 4}, 0, 0, inf, 9), tensor("s", []int64{1, 2}, 0.9, 0)}, square, "not finite"},
		"a class beyond the labels":          {split, []Tensor{box, score, {"c", repository.Int64, []int64{1}, encode(repository.Int64, 2)}}, square, "predicts class 2; labels.txt has 2 labels"},
		"a class that is a part":             {split, []Tensor{box, score, tensor("c", []int64{1}, 0.5)}, square, "not an integer"},
		"a class of NaN":                     {split, []Tensor{box, score, tensor("c", []int64{1}, nan)}, square, "not an integer"},
		"a class without end":                {split, []Tensor{box, score, {"c", repository.Int64, []int64{1}, []byte{0, 0, 0, 0, 0, 0, 0, 1}}}, square, "not an integer"},
		"an image without size":              {list, []Tensor{box, tensor("s", []int64{1, 2}, 0.9, 0)}, geometry.Transform{}, "cannot be mapped"},
		"a transform of NaN":                 {small, cell(0, 0, 0, 0, 1, 1), geometry.Transform{Width: 1, Height: 1, InputW: 1, InputH: 1, ScaleX: 1, ScaleY: 1, OffsetX: math.NaN()}, "cannot be mapped"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := newDecoder(t, c.def, c.outputs).Decode(c.outputs, c.transform, Params{})
			wantInternal(t, answer, err, c.want)
		})
	}
}

func TestMismatchedRowsAreRejected(t *testing.T) {
	d := detector(func(o *repository.Output) { o.Classes = "c" })
	open := []Tensor{{Name: "b", DType: repository.Float32, Shape: []int64{-1, 4}},
		{Name: "s", DType: repository.Float32, Shape: []int64{-1}}, {Name: "c", DType: repository.Int64, Shape: []int64{-1}}}
	box, scores := tensor("b", []int64{1, 4}, 0, 0, 9, 9), tensor("s", []int64{1}, 0.9)
	class := Tensor{"c", repository.Int64, []int64{1}, encode(repository.Int64, 0)}
	for want, outputs := range map[string][]Tensor{
		"do not match":  {box, tensor("s", []int64{2}, 0.9, 0.9), class},
		"has 2 classes": {box, scores, {"c", repository.Int64, []int64{2}, encode(repository.Int64, 0, 0)}},
		"is missing":    {box, scores},
	} {
		answer, err := newDecoder(t, d, open).Decode(outputs, square, Params{})
		wantInternal(t, answer, err, want)
	}
}

// TestOutputsThatChangeAreRejected: each output of each decoder is missing, of another type or too short.
func TestOutputsThatChangeAreRejected(t *testing.T) {
	image, cases := decoderCases(t)
	check := func(t *testing.T, decoder Decoder, outputs []Tensor, transform geometry.Transform, p Params) {
		t.Helper()
		for i, o := range outputs {
			double := Tensor{o.Name, repository.Float64, o.Shape, make([]byte, 8*max(0, elements(o.Shape)))}
			short := Tensor{o.Name, o.DType, o.Shape, o.Data[:len(o.Data)-o.DType.Size()]}
			for what, changed := range map[string][]Tensor{"missing": outputs[:i], "of another type": slices.Replace(slices.Clone(outputs), i, i+1, double),
				"too short": slices.Replace(slices.Clone(outputs), i, i+1, short)} {
				answer, err := decoder.Decode(changed, transform, p)
				if err == nil || answer != nil || apierror.From(err).Code != apierror.Internal {
					t.Errorf("output %s is %s: %v, %v", o.Name, what, answer, err)
				}
			}
		}
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			d, outputs := c.open(t, image)
			check(t, newDecoder(t, d, outputs), outputs, image, c.Params)
		})
	}
	t.Run("yolox", func(t *testing.T) {
		d, outputs, transform, _ := yoloxBus(t)
		check(t, newDecoder(t, d, outputs), outputs, transform, Params{})
	})
	t.Run("softmax", func(t *testing.T) {
		outputs := []Tensor{tensor("y", []int64{3}, 1, 2, 3)}
		check(t, newDecoder(t, classes(repository.DecodeSoftmax), outputs), outputs, square, Params{})
	})
}
