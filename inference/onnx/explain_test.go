package onnx

import (
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// relu is a model of one operator.
func relu(change func(*onnxwriter.Model)) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3)
	m.Node("Relu", "y", nil, "x")
	m.Output("y", onnxwriter.Float, "n", 3)
	change(m)
	return m
}

func operator(op, domain string, imports map[string]int64) func(*onnxwriter.Model) {
	return func(m *onnxwriter.Model) {
		m.Nodes[0].Op, m.Nodes[0].Domain, m.Domains = op, domain, imports
	}
}

// The errors come from ONNX Runtime itself, so a version with other messages fails here.
func TestModelErrorsNameCauseAndRemedy(t *testing.T) {
	open(t)
	for name, c := range map[string]struct {
		change func(*onnxwriter.Model)
		want   []string // nil: it loads
	}{
		"an operator of ONNX":      {func(*onnxwriter.Model) {}, nil},
		"an operator of Microsoft": {operator("Gelu", "com.microsoft", map[string]int64{"com.microsoft": 1}), nil},
		"a newer opset": {func(m *onnxwriter.Model) { m.Opset = 99 },
			[]string{"opset 99 of domain ai.onnx", "ONNX Runtime " + "1.", "supports at most opset 2", "export it with that opset"}},
		"a newer IR":                   {func(m *onnxwriter.Model) { m.IR = 99 }, []string{"ONNX IR version 99", "supports at most 1", "older onnx package"}},
		"an unknown operator":          {operator("Nonsense", "", nil), []string{`operator "Nonsense" is not registered`, "ONNX opset 17"}},
		"an operator of a later opset": {operator("Gelu", "", nil), []string{`operator "Gelu" is not registered`, "opset 17", "later opset"}},
		"a custom domain": {operator("NMS", "com.acme", map[string]int64{"com.acme": 1}),
			[]string{`operator "NMS" of domain "com.acme" is not registered`, "custom operator libraries are not loaded"}},
		"a custom domain that is not imported": {operator("NMS", "com.acme", nil), []string{`operator "NMS"`, `domain "com.acme"`, "imports no opset"}},
		"an unknown operator of Microsoft": {operator("Nonsense", "com.microsoft", map[string]int64{"com.microsoft": 1}),
			[]string{`operator "Nonsense" of domain "com.microsoft" is not registered`}},
		"a newer set of Microsoft's operators": {operator("Gelu", "com.microsoft", map[string]int64{"com.microsoft": 9}), []string{"opset 9 of domain com.microsoft", "at most opset 1"}},
		"types without an implementation": {func(m *onnxwriter.Model) {
			m.Inputs[0].Type, m.Outputs[0].Type = onnxwriter.Int16, onnxwriter.Int16
		}, []string{"no implementation of operator \"Relu\"", "float32"}},
		"an input from nowhere": {func(m *onnxwriter.Model) { m.Nodes[0].In = []string{"q"} }, []string{"Node input 'q' is not a graph input"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeModel(t, relu(c.change))
			s, err := NewSession(path, Options{})
			if err == nil {
				if err := s.Close(); err != nil || c.want != nil {
					t.Errorf("it loads; %v", err)
				}
				return
			}
			if c.want == nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "onnxruntime_src") || strings.Contains(err.Error(), "temporary session") {
				t.Errorf("it repeats the runtime's message: %v", err)
			}
		})
	}
}
