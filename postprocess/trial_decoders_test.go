package postprocess

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/repository"
)

// widely is a definition of detection for the input of wide, with labels a and b.
func widely(o repository.Output) repository.Definition {
	return repository.Definition{Task: repository.Detection, Labels: []string{"a", "b"}, LabelsFile: "labels.txt",
		Input: repository.Input{Width: 400, Height: 100, Scale: 1.0 / 255}, Output: o}.WithDefaults()
}

// content are boxes of a detector in fractions of the image, with two logits each: small boxes anywhere.
func content(random *rand.Rand, n int) (boxes [][4]float64, logits [][2]float64) {
	for range n {
		w, h := 0.02+0.1*random.Float64(), 0.02+0.1*random.Float64()
		x, y := random.Float64()*(1-w), random.Float64()*(1-h)
		boxes = append(boxes, [4]float64{x, y, x + w, y + h})
		logits = append(logits, [2]float64{3*random.NormFloat64() - 3, 3*random.NormFloat64() - 3})
	}
	return boxes, logits
}

// outputsOf are the outputs of a decoder for the content. Boxes are written as a reading says, and logits as score says.
func outputsOf(decode string, boxes [][4]float64, logits [][2]float64, r reading, score func(float64) float64) []Tensor {
	var table, only, scores []float32
	for i, b := range boxes {
		box := written(r, b[0], b[1], b[2], b[3])
		two := []float32{float32(score(logits[i][0])), float32(score(logits[i][1]))}
		only, scores = append(only, box...), append(scores, two...)
		table = append(table, box...)
		switch decode {
		case repository.DecodeYOLOv5:
			table = append(append(table, float32(score(1))), two...)
		case repository.DecodeRows:
			class := float32(0)
			if two[1] > two[0] {
				class = 1
			}
			table = append(table, max(two[0], two[1]), class)
		default:
			table = append(table, two...)
		}
	}
	n := int64(len(boxes))
	switch decode {
	case repository.DecodeDETR:
		return []Tensor{tensor("b", []int64{n, 4}, only...), tensor("s", []int64{n, 2}, scores...)}
	case repository.DecodeYOLO: // turned over
		turned := make([]float32, len(table))
		for i, v := range table {
			turned[i%6*int(n)+i/6] = v
		}
		return []Tensor{tensor("y", []int64{6, n}, turned...)}
	}
	return []Tensor{tensor("y", []int64{n, int64(len(table)) / n}, table...)}
}

// TestWrongDetectorsAreFound writes outputs as a right definition has them, and reads them with right and wrong ones.
func TestWrongDetectorsAreFound(t *testing.T) {
	const yolo, yolov5, rows, detr = repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeRows, repository.DecodeDETR
	centers, corner := reading{repository.BoxCXCYWH, repository.SpaceInput}, reading{repository.BoxXYXY, repository.SpaceInput}
	unit := reading{repository.BoxCXCYWH, repository.SpaceUnit}
	self := func(x float64) float64 { return x }
	twice := func(x float64) float64 { return sigmoid(sigmoid(x)) }
	queries := repository.Output{Decode: detr, Boxes: "b", Scores: "s"}
	for what, c := range map[string]struct {
		output  repository.Output // the definition's
		written reading
		score   func(float64) float64
		want    string
		say     string
	}{
		"yolo":                       {repository.Output{Decode: yolo}, centers, sigmoid, "", ""},
		"yolo, logits":               {repository.Output{Decode: yolo}, centers, self, "wrong", "try output.activation: sigmoid"},
		"yolo, logits as said":       {repository.Output{Decode: yolo, Activation: "sigmoid"}, centers, self, "", ""},
		"yolo, a sigmoid too many":   {repository.Output{Decode: yolo, Activation: "sigmoid"}, centers, sigmoid, "wrong", "try output.activation: none"},
		"yolo, two sigmoids":         {repository.Output{Decode: yolo}, centers, twice, "doubtful", "two sigmoids"},
		"yolo, corners":              {repository.Output{Decode: yolo}, corner, sigmoid, "doubtful", "box_format: xyxy with box_space: input"},
		"yolo, corners as said":      {repository.Output{Decode: yolo, BoxFormat: "xyxy"}, corner, sigmoid, "", ""},
		"yolo, parts":                {repository.Output{Decode: yolo}, unit, sigmoid, "wrong", "box_format: cxcywh with box_space: unit"},
		"yolo, pixels read as parts": {repository.Output{Decode: yolo, BoxSpace: "unit"}, centers, sigmoid, "wrong", "box_format: cxcywh with box_space: input"},
		"yolov5":                     {repository.Output{Decode: yolov5}, centers, sigmoid, "", ""},
		"yolov5, logits":             {repository.Output{Decode: yolov5}, centers, self, "wrong", "try output.activation: sigmoid"},
		"rows":                       {repository.Output{Decode: rows}, corner, sigmoid, "", ""},
		"rows, parts":                {repository.Output{Decode: rows}, reading{"xyxy", "unit"}, sigmoid, "wrong", "columns: [x1, y1, x2, y2, …] with box_space: unit"},
		"rows, centers":              {repository.Output{Decode: rows}, centers, sigmoid, "wrong", "columns: [cx, cy, w, h, …] with box_space: input"},
		"rows, y first":              {repository.Output{Decode: rows}, reading{"yxyx", "input"}, sigmoid, "doubtful", "columns: [y1, x1, y2, x2, …] with box_space: input"},
		"rows, y first as said": {repository.Output{Decode: rows, Columns: []string{"y1", "x1", "y2", "x2", "score", "class"}}, reading{"yxyx", "input"},
			sigmoid, "", ""},
		"rows, class and score exchanged": {repository.Output{Decode: rows, Columns: []string{"x1", "y1", "x2", "y2", "class", "score"}}, corner, sigmoid, "wrong", "class numbers"},
		"rows, classes from 1":            {repository.Output{Decode: rows, ClassFirst: 1}, corner, sigmoid, "doubtful", "try output.class_first: 0"},
		"detr":                            {queries, unit, self, "", ""},
		"detr, probabilities":             {queries, unit, sigmoid, "doubtful", "try output.decode: boxes"},
		"detr, pixels":                    {queries, centers, self, "wrong", "box_format: cxcywh with box_space: input"},
		"detr, corners":                   {queries, reading{"xyxy", "unit"}, self, "doubtful", "box_format: xyxy with box_space: unit"},
	} {
		for seed := range uint64(seeds) {
			random := rand.New(rand.NewPCG(seed, 3))
			n, say := 200, c.say
			if what == "detr, probabilities" {
				n = 20 // few enough to be in doubt
			}
			var list [][]Tensor
			for range trialRows {
				boxes, logits := content(random, n)
				list = append(list, outputsOf(c.output.Decode, boxes, logits, c.written, c.score))
			}
			verdict, text := found(t, widely(c.output), wide, list)
			if verdict != c.want && !(c.want == "doubtful" && verdict == "wrong") || !strings.Contains(text, say) {
				t.Errorf("%s, seed %d: found %q, want %q and %q: %s", what, seed, verdict, c.want, say, text)
				break
			}
		}
	}
}

func TestSoftmaxOfProbabilitiesIsFound(t *testing.T) {
	d := widely(repository.Output{Decode: repository.DecodeDETR, Boxes: "b", Scores: "s", Activation: repository.ActivationSoftmax})
	for _, raw := range []bool{false, true} {
		random := rand.New(rand.NewPCG(1, 4))
		var list [][]Tensor
		for range trialRows {
			boxes, _ := content(random, 50)
			var only, scores []float32
			for _, b := range boxes {
				only = append(only, written(reading{repository.BoxCXCYWH, repository.SpaceUnit}, b[0], b[1], b[2], b[3])...)
				logits := []float32{float32(random.NormFloat64()), float32(random.NormFloat64()), 3}
				if !raw {
					logits = softmaxed(logits)
				}
				scores = append(scores, logits...)
			}
			list = append(list, []Tensor{tensor("b", []int64{50, 4}, only...), tensor("s", []int64{50, 3}, scores...)})
		}
		if verdict, text := found(t, d, wide, list); raw != (verdict == "") || !raw && (verdict != "wrong" || !strings.Contains(text, "try output.decode: boxes")) {
			t.Errorf("raw %v: %q: %s", raw, verdict, text)
		}
	}
}

func TestRawGridReadAsYOLOv5IsFound(t *testing.T) {
	right := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 128, Height: 96}, Labels: []string{"a", "b"},
		LabelsFile: "labels.txt", Output: repository.Output{Decode: repository.DecodeYOLOX}}.WithDefaults()
	wrong := right
	wrong.Output = repository.Output{Decode: repository.DecodeYOLOv5}
	wrong = wrong.WithDefaults()
	for seed := range uint64(seeds) {
		random := rand.New(rand.NewPCG(seed, 2))
		var rows [][]Tensor
		for range trialRows {
			values := grid(random, right, false, 1, sigmoid)
			rows = append(rows, []Tensor{tensor("y", []int64{int64(len(values) / 7), 7}, values...)})
		}
		if verdict, text := found(t, wrong, square, rows); verdict != "wrong" || !strings.Contains(text, "try output.decode: yolox") {
			t.Errorf("seed %d: %q: %s", seed, verdict, text)
		}
	}
}

func TestRawYOLOv5(t *testing.T) {
	for _, c := range []struct {
		activation string
		score      func(float64) float64
		want       string
	}{
		{"sigmoid", func(x float64) float64 { return x }, ""}, {"sigmoid", sigmoid, "try output.activation: none"},
		{"none", sigmoid, ""}, {"none", func(x float64) float64 { return x }, "try output.activation: sigmoid"},
	} {
		d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 64, Height: 64}, Labels: []string{"a"}, LabelsFile: "labels.txt",
			Output: repository.Output{Decode: repository.DecodeYOLOv5Raw, Names: []string{"y"}, Strides: []int{8}, Anchors: []float64{10, 13, 16, 30, 33, 23},
				Activation: c.activation}}.WithDefaults()
		random := rand.New(rand.NewPCG(1, 5))
		var rows [][]Tensor
		for range trialRows {
			values := each(make([]float32, 3*8*8*6), func(float64) float64 { return c.score(2 * random.NormFloat64()) })
			rows = append(rows, []Tensor{tensor("y", []int64{3, 8, 8, 6}, values...)})
		}
		if verdict, text := found(t, d, square, rows); (verdict == "wrong") != (c.want != "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q: %s", c.activation, verdict, text)
		}
	}
}

// TestScaleIsChecked reads logits of a classifier that is sensible, insensible, or fed with too large numbers.
func TestScaleIsChecked(t *testing.T) {
	imagenet := []float64{0.485, 0.456, 0.406}
	for what, c := range map[string]struct {
		in         repository.Input
		base, much float64 // spread of logits within an image, and between images
		want       string
	}{
		"0 to 1":                        {repository.Input{Scale: 1.0 / 255}, 3, 1, ""},
		"0 to 255":                      {repository.Input{}, 3, 1, ""},
		"ImageNet":                      {repository.Input{Scale: 1.0 / 255, Mean: imagenet, Std: []float64{0.229, 0.224, 0.225}}, 3, 1, ""},
		"ImageNet without scale":        {repository.Input{Mean: imagenet, Std: []float64{0.229, 0.224, 0.225}}, 3, 1, "try input.scale: 0.00392"},
		"Caffe":                         {repository.Input{Color: "bgr", Mean: []float64{104, 117, 123}}, 3, 1, ""},
		"Caffe with a scale":            {repository.Input{Color: "bgr", Scale: 1.0 / 255, Mean: []float64{104, 117, 123}}, 3, 1, "try input.scale: 1"},
		"huge logits":                   {repository.Input{}, 3000, 1000, "scores were as large as"},
		"huge logits from small inputs": {repository.Input{Scale: 1.0 / 255}, 3000, 1000, ""},
		"insensible":                    {repository.Input{Scale: 1.0 / 255}, 3, 0.02, "hardly depended on the image in trial runs; try input.scale: 1"},
		"a mean in the other order":     {repository.Input{Color: "bgr", Scale: 1.0 / 255, Mean: imagenet, Std: []float64{0.229, 0.224, 0.225}}, 3, 1, "try input.color: rgb"},
		"Caffe's mean with rgb":         {repository.Input{Color: "rgb", Mean: []float64{103.939, 116.779, 123.68}}, 3, 1, "try input.color: bgr"},
	} {
		d := classes(repository.DecodeSoftmax)
		d.Input = c.in
		d = d.WithDefaults()
		random := rand.New(rand.NewPCG(1, 6))
		base := each(make([]float32, 20), func(float64) float64 { return c.base * random.NormFloat64() })
		var rows [][]Tensor
		for range trialRows {
			values := each(base, func(v float64) float64 { return v + c.much*random.NormFloat64() })
			rows = append(rows, []Tensor{tensor("y", []int64{20}, values...)})
		}
		verdict, text := found(t, d, square, rows)
		if (verdict == "doubtful") != (c.want != "") || verdict == "wrong" || !strings.Contains(text, c.want) {
			t.Errorf("%s: %q: %s", what, verdict, text)
		}
	}
}

func TestScoresThatAreNeverFiniteAreAnError(t *testing.T) {
	nan := float32(math.NaN())
	rows := [][]Tensor{{tensor("y", []int64{3}, nan, nan, nan)}, {tensor("y", []int64{3}, nan, nan, nan)}}
	if verdict, text := found(t, classes(repository.DecodeSoftmax), square, rows); verdict != "wrong" || !strings.Contains(text, "contains NaN") {
		t.Errorf("%q: %s", verdict, text)
	}
	rows[1] = []Tensor{tensor("y", []int64{3}, 1, 2, nan)}
	if verdict, text := found(t, classes(repository.DecodeSoftmax), square, rows); verdict != "doubtful" || !strings.Contains(text, "not finite") {
		t.Errorf("%q: %s", verdict, text)
	}
}

// TestClassesFromOne has a class beyond the labels and none that is the first.
func TestClassesFromOne(t *testing.T) {
	d := widely(repository.Output{Decode: repository.DecodeRows})
	var rows [][]Tensor
	for i := range trialRows {
		rows = append(rows, []Tensor{tensor("y", []int64{2, 6}, 10, 10, 60, 60, 0.9, 1, 30, 20, float32(80+i), 50, 0.8, 2)})
	}
	if verdict, text := found(t, d, wide, rows); verdict != "wrong" || !strings.Contains(text, "try output.class_first: 1") {
		t.Errorf("%q: %s", verdict, text)
	}
}

// TestCentersReadAsCornersAreDoubted: a fifth of the boxes of a YOLO are so large that they leave the image if their centers are
// taken for corners.
func TestCentersReadAsCornersAreDoubted(t *testing.T) {
	for format, want := range map[string]string{repository.BoxXYWH: "doubtful", repository.BoxCXCYWH: ""} {
		random := rand.New(rand.NewPCG(4, 9))
		var rows [][]Tensor
		for range trialRows {
			boxes, logits := content(random, 100)
			for i := range boxes {
				if i%5 == 0 {
					boxes[i] = [4]float64{0.3 + 0.2*random.Float64(), 0.3 + 0.2*random.Float64(), 0.95, 0.95}
				}
			}
			rows = append(rows, outputsOf(repository.DecodeYOLO, boxes, logits, reading{repository.BoxCXCYWH, repository.SpaceInput}, sigmoid))
		}
		verdict, text := found(t, widely(repository.Output{Decode: repository.DecodeYOLO, BoxFormat: format}), wide, rows)
		if verdict != want || want != "" && !strings.Contains(text, "more are with box_format: cxcywh with box_space: input, as detectors of this kind have them") {
			t.Errorf("%s: found %q: %s", format, verdict, text)
		}
	}
}
