package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// TestDoubtfulDefinitionIsReportedEverywhere serves a model that gives the same probabilities for every image, as if they were
// logits: models check, the log and /v1/models say so.
func TestDoubtfulDefinitionIsReportedEverywhere(t *testing.T) {
	dir := t.TempDir()
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, 1, 3, 8, 8)
	m.Floats("none", []float32{0})
	m.Floats("always", []float32{0.9, 0.1}, 1, 2)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"keepdims": 0}, "image")
	m.Node("Mul", "zero", nil, "mean", "none")
	m.Node("Add", "scores", nil, "always", "zero")
	m.Output("scores", onnxwriter.Float, 1, 2)
	for name, data := range map[string][]byte{"model.yaml": []byte("task: classification\noutput: {decode: softmax}\n"), "1/model.onnx": m.Bytes()} {
		path := filepath.Join(dir, "constant", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const warning = "are probabilities already"
	out, err := command(t, dir, "models", "check", "constant").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "  warning  output.decode: ") || !strings.Contains(string(out), warning) {
		t.Errorf("models check: %v\n%s", err, out)
	}
	p := start(t, dir, "--inference.default=constant").waitReady()
	if body := p.get("/v1/models").body; !strings.Contains(body, `"warnings":["output.decode: `) || !strings.Contains(body, warning) {
		t.Errorf("/v1/models: %s", body)
	}
	p.wait("the warning is logged", func() bool {
		return strings.Contains(p.logged(), `"level":"WARN"`) && strings.Contains(p.logged(), warning)
	})
}
