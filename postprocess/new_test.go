package postprocess

import (
	"strings"
	"testing"

	"fovea/internal/repository"
)

func TestNewChecksTheOutputs(t *testing.T) {
	f32 := func(name string, shape ...int64) Tensor {
		return Tensor{Name: name, DType: repository.Float32, Shape: shape}
	}
	i64 := func(name string, shape ...int64) Tensor {
		return Tensor{Name: name, DType: repository.Int64, Shape: shape}
	}
	ten := classes(repository.DecodeSoftmax, strings.Split("abcdefghij", "")...)
	background := ten
	background.Output.ClassFirst = 1
	named := ten
	named.Output.Name = "z"
	grid := shipped(t, "yolox-nano")
	grid.Input.Width, grid.Input.Height = 416, 416
	unlabeled := grid
	unlabeled.Labels = nil
	split := shipped(t, "deimv2-atto")
	table := split
	table.Output.Classes = ""
	two := table
	two.Labels = []string{"cat", "dog"}
	single := table
	single.Labels = []string{"face"}
	for name, c := range map[string]struct {
		def     repository.Definition
		outputs []Tensor
		want    string // empty: it fits
	}{
		"a flat row":                  {ten, []Tensor{f32("y", 10)}, ""},
		"a row with ones":             {ten, []Tensor{f32("y", 1, 10, 1, 1)}, ""},
		"an open row":                 {ten, []Tensor{f32("y", -1)}, ""},
		"half precision":              {ten, []Tensor{{Name: "y", DType: repository.Float16, Shape: []int64{10}}}, ""},
		"a background class":          {background, []Tensor{f32("y", 11)}, ""},
		"a background class too many": {background, []Tensor{f32("y", 1)}, `output.class_first: model.yaml says 1, but output "y" of model.onnx has 1 classes`},
		"another number of classes":   {ten, []Tensor{f32("y", 12)}, `labels: labels.txt has 10 labels, but output "y" of model.onnx has 12 classes`},
		"as many classes as labels":   {background, []Tensor{f32("y", 10)}, `labels: labels.txt has 10 labels, but output "y" of model.onnx has 10 classes, of which output.class_first: 1 leaves 9; if none is background, set output.class_first: 0`},
		"a map for scores":            {ten, []Tensor{f32("y", 10, 7, 7)}, `rows of "y" in model.onnx have the shape [10 7 7]`},
		"whole numbers for scores":    {ten, []Tensor{i64("y", 10)}, `output.name: "y" has the dtype int64 in model.onnx; want one of [float32 float16 float64]`},
		"an output that is none":      {named, []Tensor{f32("y", 10)}, `output.name: model.yaml says "z", model.onnx has the outputs "y"`},
		"no name of two":              {ten, []Tensor{f32("a", 10), f32("b", 10)}, `model.yaml says "", model.onnx has the outputs "a", "b"`},
		"an unknown decode":           {repository.Definition{}, nil, `output.decode: unknown decoder ""`},

		"a grid":                      {grid, []Tensor{f32("output", 3549, 85)}, ""},
		"an open grid":                {grid, []Tensor{f32("output", -1, -1)}, ""},
		"a grid of another size":      {grid, []Tensor{f32("output", 8400, 85)}, `output.strides: [8 16 32] over an input of 416×416 give 3549 cells, output "output" of model.onnx has 8400`},
		"a grid of other classes":     {grid, []Tensor{f32("output", 3549, 25)}, `labels.txt has 80 labels, but output "output" of model.onnx has 20 classes`},
		"a grid without classes":      {grid, []Tensor{f32("output", 3549, 5)}, "want [cells, 5 + classes]"},
		"a grid of three dimensions":  {grid, []Tensor{f32("output", 3, 3549, 85)}, "want [cells, 5 + classes]"},
		"an open grid without labels": {unlabeled, []Tensor{f32("output", 3549, -1)}, "labels: is required"},
		"a grid of any labels":        {unlabeled, []Tensor{f32("output", 3549, 25)}, ""},

		"split outputs":                       {split, []Tensor{i64("labels", 300), f32("boxes", 300, 4), f32("scores", 300)}, ""},
		"open split outputs":                  {split, []Tensor{i64("labels", -1), f32("boxes", -1, 4), f32("scores", -1)}, ""},
		"open columns":                        {split, []Tensor{i64("labels", -1, 1), f32("boxes", -1, -1), f32("scores", -1, 1)}, ""},
		"boxes of five numbers":               {split, []Tensor{i64("labels", 3), f32("boxes", 3, 5), f32("scores", 3)}, "output.boxes: rows of"},
		"fewer scores than boxes":             {split, []Tensor{i64("labels", 3), f32("boxes", 3, 4), f32("scores", 2)}, `output.scores: rows of "scores" in model.onnx have the shape [2]`},
		"fewer classes than boxes":            {split, []Tensor{i64("labels", 2), f32("boxes", 3, 4), f32("scores", 3)}, "output.classes: rows of"},
		"a table of scores":                   {table, []Tensor{f32("boxes", 3, 4), f32("scores", 3, 80)}, ""},
		"a table for one box":                 {table, []Tensor{f32("boxes", 1, 4), f32("scores", 1, 80)}, ""},
		"a table of other classes":            {table, []Tensor{f32("boxes", 3, 4), f32("scores", 3, 81)}, "labels.txt has 80 labels"},
		"a table with classes":                {split, []Tensor{i64("labels", 3), f32("boxes", 3, 4), f32("scores", 3, 80)}, "output.scores: rows of"},
		"one class":                           {single, []Tensor{f32("boxes", 3, 4), f32("scores", 3, 1)}, ""},
		"one score a box of many classes":     {table, []Tensor{f32("boxes", 3, 4), f32("scores", 3)}, "output.classes: is required: labels.txt has 80 labels"},
		"as many scores as boxes and classes": {two, []Tensor{f32("boxes", 2, 4), f32("scores", 2)}, "output.classes: is required: labels.txt has 2 labels"},
		"no boxes at all":                     {table, []Tensor{f32("boxes"), f32("scores", 3)}, "output.boxes: rows of"},
		"only the boxes missing":              {split, []Tensor{i64("labels", 3), f32("scores", 3)}, `output.boxes: model.yaml says "boxes"`},
		"only the scores missing":             {split, []Tensor{i64("labels", 3), f32("boxes", 3, 4)}, `output.scores: model.yaml says "scores"`},
		"only the classes missing":            {split, []Tensor{f32("boxes", 3, 4), f32("scores", 3)}, `output.classes: model.yaml says "labels"`},
		"all names wrong":                     {split, []Tensor{f32("x", 1)}, `output.scores: model.yaml says "scores"`},
	} {
		t.Run(name, func(t *testing.T) {
			decoder, err := New(c.def, c.outputs)
			switch {
			case c.want == "" && (err != nil || decoder == nil):
				t.Errorf("decoder %v, error %v", decoder, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error is %v; want %q", err, c.want)
			}
		})
	}
}
