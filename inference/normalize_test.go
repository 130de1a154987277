package inference

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/inference/onnx"
	"fovea/internal/float16"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/postprocess"
	"fovea/preprocess"
)

// openRuntime opens ONNX Runtime for one test or benchmark.
func openRuntime(t testing.TB) {
	t.Helper()
	noError(t, onnx.Open(testenv.ORTLibrary(t)))
	t.Cleanup(func() { noError(t, onnx.Close()) })
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// normalizedCase is a kind of image input.
type normalizedCase struct {
	dims   []any
	input  repository.Input
	half   bool
	change func(*onnxwriter.Model)
}

func normalizedCases() map[string]normalizedCase {
	imagenet := func(in repository.Input) repository.Input {
		in.Scale, in.Mean, in.Std = 1.0/255, []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
		return in
	}
	of := func(channels string, in repository.Input) repository.Input {
		in.Color = channels
		return in
	}
	plain := repository.Input{}
	return map[string]normalizedCase{
		"color, channels first":          {dims: []any{"n", 3, 5, 7}, input: imagenet(plain)},
		"color, channels last":           {dims: []any{"n", 5, 7, 3}, input: imagenet(plain)},
		"blue first":                     {dims: []any{1, 3, 5, 7}, input: of(repository.ColorBGR, imagenet(plain))},
		"no batch dimension":             {dims: []any{3, 5, 7}, input: imagenet(plain)},
		"no batch dimension, last":       {dims: []any{5, 7, 3}, input: imagenet(plain)},
		"gray":                           {dims: []any{"n", 1, 5, 7}, input: repository.Input{Scale: 2.0 / 255, Mean: []float64{1}}},
		"gray, channels last":            {dims: []any{"n", 5, 7, 1}, input: repository.Input{Mean: []float64{127.5}, Std: []float64{127.5}}},
		"gray without channels":          {dims: []any{"n", 5, 7}, input: of(repository.ColorGray, repository.Input{Std: []float64{255}})},
		"alpha":                          {dims: []any{"n", 4, 5, 7}, input: repository.Input{Scale: 1.0 / 255, Mean: []float64{0.1, 0.2, 0.3, 0}, Std: []float64{1, 1, 1, 2}}},
		"alpha, channels last":           {dims: []any{"n", 5, 7, 4}, input: of(repository.ColorBGRA, repository.Input{Scale: 1.0 / 255, Std: []float64{1, 2, 3, 4}})},
		"a mean for all, a std for each": {dims: []any{"n", 3, 5, 7}, input: repository.Input{Mean: []float64{127.5}, Std: []float64{1, 2, 3}}},
		"open size":                      {dims: []any{"n", 3, "h", "w"}, input: imagenet(repository.Input{Width: 7, Height: 5})},
		"all open":                       {dims: []any{"n", "c", "h", "w"}, input: imagenet(repository.Input{Width: 7, Height: 5})},
		"pixels as floats":               {dims: []any{"n", 3, 5, 7}},
		"half":                           {dims: []any{"n", 3, 5, 7}, input: imagenet(plain), half: true},
		"half, channels last":            {dims: []any{"n", 5, 7, 3}, input: imagenet(plain), half: true},
		"half, pixels as floats":         {dims: []any{"n", 3, 5, 7}, half: true},
		"operator set 7, old IR":         {dims: []any{"n", 3, 5, 7}, input: imagenet(plain), change: func(m *onnxwriter.Model) { m.Opset, m.IR = 7, 3 }},
		"operator set 11":                {dims: []any{"n", 3, 5, 7}, input: imagenet(plain), change: func(m *onnxwriter.Model) { m.Opset, m.IR = 11, 6 }},
		"operator set 13":                {dims: []any{"n", 3, 5, 7}, input: imagenet(plain), change: func(m *onnxwriter.Model) { m.Opset = 13 }},
		"operator set 22":                {dims: []any{"n", 3, 5, 7}, input: imagenet(plain), change: func(m *onnxwriter.Model) { m.Opset, m.IR = 22, 10 }},
		"several inputs": {dims: []any{"n", 3, 5, 7}, change: func(m *onnxwriter.Model) {
			m.Input("size", onnxwriter.Float, "n", 2)
			m.Node("Identity", "sizes", nil, "size")
			m.Output("sizes", onnxwriter.Float, "n", 2)
		}, input: repository.Input{Name: "x", Scale: 1.0 / 255, Extra: []repository.Extra{{Name: "size", Value: repository.OriginalSizeWH}}}},
	}
}

// TestGraphsNormalizeAsPackingDoes compares what models of every kind get with normalize: graph and with packing: the values themselves,
// since the models return them.
func TestGraphsNormalizeAsPackingDoes(t *testing.T) {
	openRuntime(t)
	for name, c := range normalizedCases() {
		t.Run(name, func(t *testing.T) {
			kind := onnxwriter.Float
			if c.half {
				kind = onnxwriter.Float16
			}
			m := onnxwriter.Identity(kind, c.dims...)
			if c.change != nil {
				c.change(m)
			}
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			c.compare(t, path)
		})
	}
}

func (c normalizedCase) compare(t *testing.T, path string) {
	t.Helper()
	var rows [2][]postprocess.Tensor
	random := rand.New(rand.NewPCG(1, 2))
	pixels := make([]byte, 3*5*7)
	for i := range pixels {
		pixels[i] = byte(random.UintN(256))
	}
	for i, where := range []string{repository.NormalizePacking, repository.NormalizeGraph} {
		file, err := onnx.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		definition := repository.Definition{Task: repository.Classification, Input: c.input, Output: repository.Output{Decode: repository.DecodeSoftmax, Name: "y"}}
		definition.Input.Normalize = where
		definition, err = definition.WithDefaults().Resolve(file.Inputs, file.Outputs)
		if err != nil {
			t.Fatal(err)
		}
		if where == repository.NormalizeGraph {
			if err := file.TakePixels(definition.Input); err != nil {
				t.Fatal(err)
			}
		}
		plan, err := preprocess.NewPlan(definition.Input.Packed())
		if err != nil {
			t.Fatal(err)
		}
		s, err := onnx.NewSession(path, onnx.Options{File: file})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { noError(t, s.Close()) })
		shapes := [][]int64{imageShape(definition.Input, len(c.dims), image.Pt(7, 5))}
		if len(definition.Input.Extra) > 0 {
			shapes = append(shapes, []int64{2})
		}
		b, err := s.NewBatch(t.Context(), onnx.BatchSpec{Buckets: []int{1}, RowShapes: shapes})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { noError(t, b.Close()) })
		if bytes := len(b.Input(0, 0)); where == repository.NormalizeGraph && bytes != definition.Input.Channels()*5*7 {
			t.Errorf("a row has %d bytes", bytes)
		}
		plan.PackPixels(pixels, 7, b.Input(0, 0))
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		rows[i] = b.Outputs(0)
	}
	want, got := valuesOf(rows[0][0]), valuesOf(rows[1][0])
	if len(got) != len(want) || len(got) < 5*7 {
		t.Fatalf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 1e-5*max(1, math.Abs(want[i]))) {
			t.Fatalf("value %d is %g, want %g", i, got[i], want[i])
		}
	}
	if slices.Max(want) == slices.Min(want) {
		t.Error("all values are the same")
	}
}

// valuesOf are the values of a tensor of float32 or float16.
func valuesOf(o postprocess.Tensor) (values []float64) {
	size := o.DType.Size()
	for at := range slices.Chunk(o.Data, size) {
		if size == 2 {
			values = append(values, float64(float16.Value(binary.NativeEndian.Uint16(at))))
		} else {
			values = append(values, float64(math.Float32frombits(binary.NativeEndian.Uint32(at))))
		}
	}
	return values
}

// TestModelsWithNormalizationInTheGraph serves models with both settings, which must answer alike.
func TestModelsWithNormalizationInTheGraph(t *testing.T) {
	const definition = "task: classification\nlabels: labels.txt\nbatching: {max_size: 4}\ninput: {scale: 0.00392, mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3], normalize: %s}\noutput: {decode: softmax}"
	r := newRepository(t)
	for _, where := range []string{"packing", "graph"} {
		r.made(where, fmt.Sprintf(definition, where), onnxwriter.ColorClassifier(0, 1, 2))
		r.write(filepath.Join(where, "labels.txt"), []byte("red\ngreen\nblue\n"))
	}
	e := r.synced(nil)
	for _, rgb := range [][3]uint8{{200, 30, 60}, {10, 220, 0}, {0, 40, 255}} {
		var scores [2][]float64
		for i, name := range []string{"packing", "graph"} {
			answer, err := e.Predict(t.Context(), Request{Model: name, Image: plain(t, color.RGBA{rgb[0], rgb[1], rgb[2], 255}, 20, 9)})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range answer.Prediction.(*postprocess.Classified).Top {
				scores[i] = append(scores[i], c.Score)
			}
		}
		for i, want := range scores[0] {
			if got := scores[1][i]; math.Abs(got-want) > 1e-5 {
				t.Errorf("%v: scores %v, want %v", rgb, scores[1], scores[0])
			}
		}
	}
	variants := []struct {
		model  string
		change func(*repository.Definition)
		say    string
	}{
		{"graph", func(*repository.Definition) {}, ""},
		{"graph", func(d *repository.Definition) { d.Input.Color = repository.ColorBGR }, ""},
		{"graph", func(d *repository.Definition) { d.Input.Scale = 1 }, "normalization in the graph"},
		{"graph", func(d *repository.Definition) { d.Input.Normalize = repository.NormalizePacking }, "normalization in the graph"},
		{"packing", func(d *repository.Definition) { d.Input.Normalize = repository.NormalizeGraph }, "normalization in the graph"},
		{"packing", func(d *repository.Definition) { d.Input.Scale = 1 }, ""},
	}
	for i, c := range variants {
		v, err := e.Variant(c.model, "", c.change)
		if (err == nil) != (c.say == "") || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("variant %d: %v", i, err)
		}
		if err == nil {
			if c.model == "graph" {
				if row, err := v.Row(t.Context(), plain(t, red, 8, 8)); err != nil || len(row) != 3*8*8 {
					t.Errorf("a row of %d bytes, %v", len(row), err)
				}
			}
			v.Close()
		}
	}
}

// TestTensorsOfModelsWithNormalizationInTheGraph sends pixels as tensors.
func TestTensorsOfModelsWithNormalizationInTheGraph(t *testing.T) {
	r := newRepository(t).made("m", "task: classification\ninput: {scale: 0.5, normalize: graph}\noutput: {decode: softmax}", onnxwriter.ColorClassifier(0, 1, 2))
	e := r.synced(nil)
	if in := only(t, e).Inputs[0]; in.Name != "image" || in.DType != repository.Uint8 {
		t.Errorf("input %+v", in)
	}
	ref := opened(t, e, "m")
	pixels := slices.Repeat([]byte{1, 2, 3}, 64)
	slices.Sort(pixels) // planes of 1, 2 and 3
	for rows := range 2 {
		in := Tensor{Name: "image", DType: repository.Uint8, Shape: []int64{int64(rows + 1), 3, 8, 8}, Data: slices.Repeat(pixels, rows+1)}
		got, err := ref.Infer(t.Context(), TensorRequest{Inputs: []Tensor{in}})
		if err != nil {
			t.Fatal(err)
		}
		if n := numbers(got.Outputs[0]); !slices.Equal(n, slices.Repeat([]float32{5, 10, 15}, rows+1)) {
			t.Errorf("%v", n)
		}
	}
	in := Tensor{Name: "image", DType: repository.Float32, Shape: []int64{1, 3, 8, 8}, Data: make([]byte, 4*3*8*8)}
	if _, err := ref.Infer(t.Context(), TensorRequest{Inputs: []Tensor{in}}); err == nil || !strings.Contains(err.Error(), "the model takes uint8") {
		t.Errorf("floats: %v", err)
	}
}

func TestNormalizationThatTheGraphCannotHave(t *testing.T) {
	m := onnxwriter.ColorClassifier(0, 1, 2)
	m.Opset = 6
	bytes := &onnxwriter.Model{}
	bytes.Input("image", onnxwriter.Uint8, "n", 3, 8, 8)
	bytes.Node("Cast", "values", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "image")
	bytes.Node("ReduceMean", "scores", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "values")
	bytes.Output("scores", onnxwriter.Float, "n", 3)
	for say, m := range map[string]*onnxwriter.Model{"input.normalize: graph: model.onnx has operator set 6": m, "input.normalize: graph only applies to inputs of float32": bytes} {
		e := newRepository(t).made("m", "task: classification\ninput: {normalize: graph}\noutput: {decode: softmax}", m).engine(nil)
		if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", say, err)
		}
	}
}

func TestNormalizeInPackingOverridesDefinitions(t *testing.T) {
	r := newRepository(t).made("m", "task: classification\ninput: {scale: 0.5, normalize: graph}\noutput: {decode: softmax}", onnxwriter.ColorClassifier(0, 1, 2))
	e := r.synced(func(c *Config) { c.NormalizeInPacking = true })
	if in := only(t, e).Inputs[0]; in.DType != repository.Float32 {
		t.Errorf("input %+v", in)
	}
	v, err := e.Variant("m", "", func(d *repository.Definition) { d.Input.Scale = 1 })
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}
