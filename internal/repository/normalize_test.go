package repository

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// normalizedInput is the input of a definition of the file that pixelModel makes.
func normalizedInput() Input {
	return Input{Name: "x", Width: 4, Height: 4, DType: Float32, Color: ColorRGB, Layout: "nchw", Normalize: NormalizeGraph, Scale: 1.0 / 255,
		Mean: []float64{0.485, 0.456, 0.406}, Std: []float64{0.229, 0.224, 0.225}}.WithDefaults()
}

func pixelModel() *onnxwriter.Model { return onnxwriter.Identity(onnxwriter.Float, "n", 3, "h", "w") }

// changePixels has the graph of a file normalize.
func changePixels(file []byte, in Input) (*Rewrite, error) {
	return ChangeInputs(bytes.NewReader(file), int64(len(file)), InputChanges{Pixels: &in})
}

// rewritten is the file whose graph normalizes.
func rewritten(t *testing.T, file []byte, in Input) (*Graph, []byte) {
	t.Helper()
	w, err := changePixels(file, in)
	if err != nil {
		t.Fatal(err)
	}
	to := make([]byte, w.Size())
	if err := w.Fill(to, bytes.NewReader(file)); err != nil {
		t.Fatal(err)
	}
	g, err := ReadGraph(bytes.NewReader(to), int64(len(to)))
	if err != nil {
		t.Fatal(err)
	}
	return g, to
}

func TestGraphsThatNormalizeChangeOneInput(t *testing.T) {
	m := pixelModel()
	m.Input("size", onnxwriter.Float, "n", 2)
	m.Metadata = map[string]string{"names": "cat"}
	for name, file := range map[string][]byte{
		"a file":                 m.Bytes(),
		"a graph in two parts":   append(MoreOutputs([]string{"y"}), m.Bytes()...),
		"a field that is no one": append(m.Bytes(), 0xf8, 0x01, 1), // a varint of field 31
	} {
		g, _ := rewritten(t, file, normalizedInput())
		if got := fmt.Sprint(g.Inputs, g.DimNames[PixelInput("x")]); got != fmt.Sprintf("[{%s uint8 [-1 3 -1 -1]} {size float32 [-1 2]}] [n  h w]", PixelInput("x")) {
			t.Errorf("%s: inputs %s", name, got)
		}
		if got := fmt.Sprint(g.Ops); got != "map[Cast:1 Constant:2 Identity:1 Mul:1 Sub:1]" || g.Metadata["names"] != "cat" {
			t.Errorf("%s: %s, metadata %v", name, got, g.Metadata)
		}
		var stem strings.Builder
		for _, s := range g.Stems[PixelInput("x")] {
			fmt.Fprintf(&stem, "%s%.4g ", s.Op, s.Values)
		}
		if got := stem.String(); got != "Cast[] Sub[123.7 116.3 103.5] Mul[0.01712 0.01751 0.01743] Identity[] " {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestGraphsThatNormalizeComputeNoMoreThanNeeded(t *testing.T) {
	for want, change := range map[string]func(*Input){
		"Cast Identity":              func(in *Input) { in.Scale, in.Mean, in.Std = 1, []float64{0, 0, 0}, []float64{1} },
		"Cast Mul Identity":          func(in *Input) { in.Mean, in.Std = []float64{0}, []float64{1} },
		"Cast Sub Identity":          func(in *Input) { in.Scale, in.Std = 1, []float64{1} },
		"Cast Sub Mul Cast Identity": func(in *Input) { in.DType = Float16 },
		"Cast Cast Identity":         func(in *Input) { in.DType, in.Scale, in.Mean, in.Std = Float16, 1, []float64{0}, []float64{1} },
	} {
		in := normalizedInput()
		change(&in)
		g, _ := rewritten(t, pixelModel().Bytes(), in)
		var ops []string
		for _, s := range g.Stems[PixelInput("x")] {
			ops = append(ops, s.Op)
		}
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestGraphsThatCannotNormalizeNameTheKey(t *testing.T) {
	model := func(change func(*onnxwriter.Model)) []byte {
		m := pixelModel()
		change(m)
		return m.Bytes()
	}
	whole := pixelModel().Bytes()
	for say, file := range map[string][]byte{
		`model.onnx has no input "x"`:       model(func(m *onnxwriter.Model) { m.Inputs[0].Name = "other" }),
		"model.onnx has operator set 6; ":   model(func(m *onnxwriter.Model) { m.Opset = 6 }),
		"model.onnx has operator set 0; ":   model(func(m *onnxwriter.Model) { m.Opset, m.Domains = -1, map[string]int64{"ai.onnx.ml": 3} }),
		"is truncated":                      whole[:len(whole)-1],
		"not protobuf":                      append(bytes.Clone(whole), 0x07),
		"has too many parts; use packing":   model(func(m *onnxwriter.Model) { m.Inputs[0].Name = strings.Repeat("x", maxName*maxRank) }),
		"operator set 6; the graph of 7 an": model(func(m *onnxwriter.Model) { m.Opset = 6 }),
	} {
		_, err := changePixels(file, normalizedInput())
		if err == nil || !strings.HasPrefix(err.Error(), "input.normalize: graph: ") || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", say, err)
		}
	}
}

func TestChangeInputsFixesShapes(t *testing.T) {
	m := onnxwriter.Identity(onnxwriter.Float16, "n", 3, "h", "w")
	m.Input("size", onnxwriter.Int64, "n", 2)
	file := m.Bytes()
	shapes := map[string][]int64{"x": {8, 3, 4, 5}, "size": {8, 2}}
	in := normalizedInput()
	for want, c := range map[string]InputChanges{
		"[{x float16 [8 3 4 5]} {size int64 [8 2]}]":               {Shapes: shapes},
		"[{fovea:pixels:x uint8 [8 3 4 5]} {size int64 [8 2]}]":    {Shapes: shapes, Pixels: &in},
		"[{x float16 [-1 3 -1 -1]} {size int64 [8 2]}]":            {Shapes: map[string][]int64{"size": {8, 2}}},
		"[{x float16 [-1 3 -1 -1]} {size int64 [-1 2]}]":           {},
		`fix the shapes of inputs: model.onnx has no input "none"`: {Shapes: map[string][]int64{"none": {1}}},
	} {
		var got string
		w, err := ChangeInputs(bytes.NewReader(file), int64(len(file)), c)
		if err != nil {
			got = err.Error()
		} else {
			to := make([]byte, w.Size())
			if err := w.Fill(to, bytes.NewReader(file)); err != nil {
				t.Fatal(err)
			}
			g, err := ReadGraph(bytes.NewReader(to), int64(len(to)))
			if err != nil {
				t.Fatal(err)
			}
			got = fmt.Sprint(g.Inputs)
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestRewriteOfAShorterFileFails(t *testing.T) {
	file := pixelModel().Bytes()
	w, err := changePixels(file, normalizedInput())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Fill(make([]byte, w.Size()), bytes.NewReader(file[:len(file)-1])); err == nil {
		t.Error("no error")
	}
}

func TestCheckNormalize(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		say  string // in the error; empty: there is none
	}{
		"packing":                      {"normalize: packing, dtype: uint8", ""},
		"graph":                        {"normalize: graph, scale: 0.00392156862745098", ""},
		"graph of a detector":          {"normalize: graph, resize: letterbox, fill: [114]", ""},
		"another place":                {"normalize: gpu", `input.normalize: "gpu" is not one of packing, graph`},
		"an input of bytes":            {"normalize: graph, dtype: uint8", "input.normalize: graph only applies to inputs of float32 and float16"},
		"padding that is no pixel":     {"normalize: graph, resize: letterbox, fill: [123.675]", "input.fill: has values that are not whole"},
		"numbers beyond float32":       {"normalize: graph, scale: 1e-44, mean: [1]", "input.normalize: graph computes"},
		"numbers that float32 rounds":  {"normalize: graph, scale: 1, mean: [999999.3], std: [0.000001]", ""},
		"numbers that cancel":          {"normalize: graph, scale: 7777.7, mean: [999999.3], std: [0.0001]", "use packing"},
		"a mean that is wrong as well": {"normalize: graph, mean: [1, 2]", "input.mean: has 2 values"},
	} {
		_, err := ParseDefinition([]byte("task: classification\noutput: {decode: softmax}\ninput: {"+c.yaml+"}"), "model.yaml")
		if c.say == "" && err != nil || c.say != "" && (err == nil || !strings.Contains(err.Error(), c.say)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAcceptedNormalizationsAreClose computes what a graph does of usual normalizations and of random ones.
func TestAcceptedNormalizationsAreClose(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 2000 {
		in := normalizedInput()
		in.Scale = math.Exp(random.Float64()*12 - 8)
		in.Mean, in.Std = []float64{random.Float64() * 300 * in.Scale}, []float64{0.01 + random.Float64()*100*in.Scale}
		if in.Validate() != nil {
			continue
		}
		accepted++
		n := in.normalization()
		for v := range 256 {
			want := (float64(v)*in.Scale - in.Mean[0]) / in.Std[0]
			if have := float64(float32(float32(v)-n.offset[0]) * n.factor[0]); math.Abs(have-want) > 1e-5*max(1, math.Abs(want)) {
				t.Fatalf("%+v: %d becomes %g, want %g", in, v, have, want)
			}
		}
	}
	if accepted < 1900 {
		t.Errorf("only %d of 2000 are accepted", accepted)
	}
}

// FuzzChangeInputs rewrites any file. What it takes apart and joins must be an ONNX file again, with one input more of uint8.
func FuzzChangeInputs(f *testing.F) {
	for _, m := range []*onnxwriter.Model{pixelModel(), onnxwriter.ColorClassifier(0, 1, 2)} {
		f.Add(m.Bytes())
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		in := normalizedInput()
		_, err := changePixels(file, in)
		if err != nil {
			return
		}
		if _, err := ReadGraph(bytes.NewReader(file), int64(len(file))); err != nil {
			return // of messages that the rewrite does not look into
		}
		g, to := rewritten(t, file, in)
		if len(to) <= len(file) || find(g.Inputs, PixelInput("x")) < 0 || g.Ops["Cast"] == 0 {
			t.Errorf("%d of %d bytes, inputs %v", len(to), len(file), g.Inputs)
		}
	})
}
