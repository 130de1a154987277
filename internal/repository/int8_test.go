package repository

import (
	"bytes"
	"io"
	"testing"

	"fovea/internal/onnxwriter"
)

// quantizedModel multiplies quantized activations by int8 weights.
func quantizedModel(change func(*onnxwriter.Model)) []byte {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 4)
	m.Floats("step", []float32{0.1})
	m.Weights = append(m.Weights,
		onnxwriter.Tensor{Name: "w", Type: onnxwriter.Int8, Dims: []int{4, 2}, Raw: []byte{64, 0xc0, 1, 0, 5, 6, 7, 8}},
		onnxwriter.Tensor{Name: "zero", Type: onnxwriter.Uint8, Raw: []byte{0}})
	m.Node("QuantizeLinear", "q", nil, "x", "step", "zero")
	m.Node("DequantizeLinear", "d", nil, "q", "step", "zero")
	m.Node("DequantizeLinear", "e", nil, "w", "step")
	m.Node("MatMul", "y", nil, "d", "e")
	m.Output("y", onnxwriter.Float, "n", 2)
	if change != nil {
		change(m)
	}
	return m.Bytes()
}

// TestReducedWeights: sums of two products saturate at 16 bits only with weights beyond 64, or activations of int8.
func TestReducedWeights(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(m *onnxwriter.Model)
		reduced bool
	}{
		"the largest of 7 bits": {nil, true},
		"one that is larger":    {func(m *onnxwriter.Model) { m.Weights[1].Raw[7] = 65 }, false},
		"one that is smaller":   {func(m *onnxwriter.Model) { m.Weights[1].Raw[0] = 0xbf }, false},
		"a second, larger layer": {func(m *onnxwriter.Model) {
			m.Weights = append(m.Weights, onnxwriter.Tensor{Name: "v", Type: onnxwriter.Int8, Dims: []int{1, 1}, Raw: []byte{127}})
		}, false},
		"the last of many": {func(m *onnxwriter.Model) {
			m.Weights[1].Dims, m.Weights[1].Raw = []int{100_000, 1}, append(bytes.Repeat([]byte{3}, 99_999), 100)
		}, false},
		"large int8 that are no weights": {func(m *onnxwriter.Model) {
			m.Weights = append(m.Weights, onnxwriter.Tensor{Name: "v", Type: onnxwriter.Int8, Dims: []int{1}, Raw: []byte{127}})
		}, true},
		"large uint8 weights": {func(m *onnxwriter.Model) {
			m.Weights = append(m.Weights, onnxwriter.Tensor{Name: "v", Type: onnxwriter.Uint8, Dims: []int{1, 1}, Raw: []byte{255}})
		}, true},
		"activations of int8":                   {func(m *onnxwriter.Model) { m.Weights[2].Type = onnxwriter.Int8 }, false},
		"activations of an unknown type":        {func(m *onnxwriter.Model) { m.Nodes[0].In[2] = "computed" }, false},
		"activations of the default type":       {func(m *onnxwriter.Model) { m.Nodes[0].In = m.Nodes[0].In[:2] }, true},
		"weights in another file":               {func(m *onnxwriter.Model) { m.Weights[1].External = []string{"location", "w"} }, false},
		"QLinearMatMul, of activations perhaps": {func(m *onnxwriter.Model) { m.Nodes[3].Op = "QLinearMatMul" }, false},
	} {
		data := quantizedModel(c.change)
		file, err := readONNX(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !file.quantized || file.wideInt8 == c.reduced {
			t.Errorf("%s: quantized %t, wide %t; want reduced %t", name, file.quantized, file.wideInt8, c.reduced)
		}
	}
}

// reads is a file that counts the bytes that are read of it.
type reads struct {
	io.ReaderAt
	bytes int
}

func (r *reads) ReadAt(p []byte, at int64) (int, error) {
	r.bytes += len(p)
	return r.ReaderAt.ReadAt(p, at)
}

// TestWeightsAreReadOnce: a file is parsed for its graph, and again when the version is loaded.
func TestWeightsAreReadOnce(t *testing.T) {
	const size = 1 << 20
	data := quantizedModel(func(m *onnxwriter.Model) {
		m.Weights[1].Dims, m.Weights[1].Raw = []int{size, 1}, bytes.Repeat([]byte{3}, size)
	})
	graph, weights := reads{ReaderAt: bytes.NewReader(data)}, reads{ReaderAt: bytes.NewReader(data)}
	if _, err := ReadGraph(&graph, int64(len(data))); err != nil || graph.bytes > size/2 {
		t.Errorf("for the graph %d bytes are read, %v", graph.bytes, err)
	}
	if file, err := readONNX(&weights, int64(len(data))); err != nil || file.wideInt8 || weights.bytes > size*3/2 {
		t.Errorf("for the weights %d bytes are read, %v", weights.bytes, err)
	}
}
