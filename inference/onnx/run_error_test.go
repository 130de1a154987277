package onnx

import (
	"errors"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// failing is a model that fails in a node if the six numbers of "x" do not add up to 6: then the result of Range has another
// number of elements than Reshape asks for.
func failing() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, 1, 6)
	m.Ints("shape", []int64{2, 3}, 2)
	m.Floats("zero", []float32{0})
	m.Floats("one", []float32{1})
	m.Weights[len(m.Weights)-1].Dims, m.Weights[len(m.Weights)-2].Dims = nil, nil // scalars
	m.Node("ReduceSum", "sum", onnxwriter.Attributes{"keepdims": 0}, "x")
	m.Node("Range", "range", nil, "zero", "sum", "one")
	m.Node("Reshape", "y", nil, "range", "shape")
	m.Output("y", onnxwriter.Float, "a", "b")
	return m
}

func TestReasonsOfNodes(t *testing.T) {
	for message, want := range map[string]RunError{
		"Non-zero status code returned while running Reshape node. Name:'/roi/Reshape_2' Status Message: /src/reshape_helper.h:45 ort::Helper(const S&, bool) i < s.size() was false. The dimension\nis too large. ": {Op: "Reshape", Node: "/roi/Reshape_2", Reason: "The dimension is too large."},
		"Non-zero status code returned while running Gather node. Name:'g' Status Message: indices element out of data bounds, idx=9":                                                                                {Op: "Gather", Node: "g", Reason: "indices element out of data bounds, idx=9"},
		"Non-zero status code returned while running If node. Name:'' Status Message: ":                                                                                                                              {Op: "If"},
	} {
		run, ok := errors.AsType[*RunError](runError(errors.New(message)))
		if !ok || run.Op != want.Op || run.Node != want.Node || run.Reason != want.Reason || run.Error() != message {
			t.Errorf("%s\n%+v", message, run)
		}
	}
	if err := errors.New("Got invalid dimensions for input"); runError(err) != err { //nolint:errorlint // the same error
		t.Errorf("an error of no node became %v", runError(err))
	}
}

func TestANodesErrorIsReported(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, writeModel(t, failing()), Options{}), BatchSpec{Rows: 1,
		Trial: func(_, _, _ int, memory []byte) { put(memory, ones(6)) }})
	for _, n := range []int{6, 3, 0, 6} {
		put(b.Input(0, 0), ones(n))
		err := b.Run(t.Context(), 1)
		run, failed := errors.AsType[*RunError](err)
		switch {
		case failed != (n != 6):
			t.Errorf("%d ones: %v", n, err)
		case failed && (run.Op != "Reshape" || !strings.HasPrefix(run.Reason, "The input tensor cannot be reshaped to the requested shape") ||
			strings.Contains(run.Reason, "\n")):
			t.Errorf("%q %q: %q; the message is\n%v", run.Op, run.Node, run.Reason, err)
		}
	}
}
