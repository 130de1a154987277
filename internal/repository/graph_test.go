package repository

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// fullModel is a file with everything that ReadGraph reads.
func fullModel() []byte {
	m := onnxwriter.Model{Producer: "pytorch", Metadata: map[string]string{"task": "classify", "names": "{0: 'a'}"}}
	m.Input("image", onnxwriter.Uint8, "batch", 3, 224, "width")
	m.Input("mean", onnxwriter.Float, 3)
	m.Floats("mean", []float32{1, 2, 3}, 3)
	m.Output("probs", onnxwriter.Float16, 1, 10)
	m.Output("any", onnxwriter.Float)
	m.Node("ml.ZipMap", "zipped", onnxwriter.Attributes{"classlabels_strings": []string{"a", "b"}}, "half")
	m.Node("Identity", "renamed", nil, "zipped")
	m.MapsOutput("renamed", onnxwriter.String)
	m.Node("ml.ZipMap", "numbers", onnxwriter.Attributes{"classlabels_int64s": []int{0, 1, 5}}, "soft")
	m.MapsOutput("numbers", onnxwriter.Int64)
	m.MapsOutput("maps", onnxwriter.Int64)
	m.Node("Shape", "shape", nil, "image")
	m.Node("Cast", "real", onnxwriter.Attributes{"to": 1}, "image")
	m.Node("Sub", "centered", nil, "real", "mean")
	raw := []byte{0, 0, 0, 0, 0, 0, 0, 0x40} // 2, as float64
	m.Node("Constant", "two", onnxwriter.Attributes{"value": onnxwriter.Tensor{Type: onnxwriter.Double, Raw: raw}})
	m.Node("Div", "scaled", nil, "centered", "two")
	m.Node("Conv", "logits", nil, "scaled", "weights")
	m.Node("Softmax", "soft", nil, "logits")
	m.Node("Cast", "half", onnxwriter.Attributes{"to": 10}, "soft")
	m.Node("Reshape", "probs", nil, "half", "shape")
	return m.Bytes()
}

func TestReadGraph(t *testing.T) {
	data := fullModel()
	g, err := ReadGraph(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"the producer", g.Producer, "pytorch"},
		{"the metadata", g.Metadata, map[string]string{"task": "classify", "names": "{0: 'a'}"}},
		{"inputs without weights", g.Inputs, []TensorInfo{{"image", Uint8, []int64{-1, 3, 224, -1}}}},
		{"outputs, one without a shape and one of maps", g.Outputs, []TensorInfo{{"probs", Float16, []int64{1, 10}}, {"any", Float32, nil},
			{"renamed", Float32, []int64{-1, 2}}, {"numbers", Float32, []int64{-1, 3}}, {"maps", "sequence", nil}}},
		{"outputs that are maps of scores", g.ZipMaps, map[string]ZipMap{"renamed": {"half", []string{"a", "b"}, true}, "numbers": {"soft", []string{"0", "1", "5"}, false}}},
		{"what computes scores in front of ZipMap", g.OutputOps["renamed"], "Softmax"},
		{"names of open sizes", g.DimNames["image"], []string{"batch", "", "", "width"}},
		{"what computes an output, behind Reshape and Cast", g.OutputOps["probs"], "Softmax"},
		{"what computes an output that no node makes", g.OutputOps["any"], ""},
		{"the number of operators", g.Ops["Cast"], 2},
		{"what an input passes through, not counting Shape", g.Stems["image"], []Step{{"Cast", nil}, {"Sub", []float64{1, 2, 3}}, {"Div", []float64{2}}, {"Conv", nil}}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, not %v", c.what, c.got, c.want)
		}
	}
}

func TestReadGraphBoundsWhatItKeeps(t *testing.T) {
	long := strings.Repeat("x", maxName)
	for name, c := range map[string]struct {
		change func(m *onnxwriter.Model)
		want   error
	}{
		"names beyond the memory": {func(m *onnxwriter.Model) {
			for range maxKept/maxName + 1 {
				m.Node("Relu", long, nil, "x")
			}
		}, errTooManyParts},
		"a value of the metadata that is too long is left out": {func(m *onnxwriter.Model) {
			m.Metadata = map[string]string{"long": strings.Repeat("y", maxMetadata+1)}
		}, nil},
		"too many dimensions": {func(m *onnxwriter.Model) {
			m.Input("x", onnxwriter.Float, make([]any, 0, 1)...)
			for range maxRank + 1 {
				m.Inputs[0].Dims = append(m.Inputs[0].Dims, 1)
			}
		}, errTooManyParts},
	} {
		var m onnxwriter.Model
		c.change(&m)
		data := m.Bytes()
		g, err := ReadGraph(bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && len(g.Metadata) > 0 {
			t.Errorf("%s: metadata of %d keys", name, len(g.Metadata))
		}
	}
}
