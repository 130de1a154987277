package main

import (
	"strings"
	"testing"

	"fovea/api"
	"fovea/inference"
	"fovea/internal/repository"
)

func TestCommandToTry(t *testing.T) {
	tensors := inference.Status{Name: "a", State: inference.Ready, Task: repository.NoTask}
	loading := inference.Status{Name: "b", State: inference.Loading, Task: repository.Detection}
	images := inference.Status{Name: "c", State: inference.Ready, Task: repository.Classification}
	const post = "curl --data-binary @IMAGE.jpg -H 'Content-Type: image/jpeg' http://host:1"
	for name, c := range map[string]struct {
		byDefault string
		models    []inference.Status
		want      string
	}{
		"the first that takes images":      {"", []inference.Status{tensors, loading, images}, post + "/v1/models/c/predict"},
		"the default model":                {"c", []inference.Status{tensors, images}, post + "/predict"},
		"a default model without a task":   {"a", []inference.Status{tensors, images}, "curl http://host:1/v2"},
		"no model that takes images ready": {"", []inference.Status{tensors, loading}, "curl http://host:1/v2"},
	} {
		if got := curl(api.Config{}, "host:1", pathOf(c.byDefault, c.models)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestReadiness(t *testing.T) {
	models := []inference.Status{
		{Name: "old", Version: "1", State: inference.Failed},
		{Name: "bus", Version: "2", State: inference.Ready, Task: repository.InstanceSegmentation, Device: "cuda:0", Dir: "models/bus", Source: "https://models.example/bus.onnx"},
	}
	cfg := api.Defaults()
	got := newReadiness(cfg, "127.0.0.1:1", "", models).text()
	want := `  playground  http://127.0.0.1:1/
  try         curl --data-binary @IMAGE.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:1/v1/models/bus/predict
  models      bus 2 (instance segmentation, cuda:0) from models/bus, fetched from https://models.example/bus.onnx
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	cfg.Address = "0.0.0.0:1"
	for range 3 {
		models = append(models, models...)
	}
	text := newReadiness(cfg, "127.0.0.1:1", "", models).text()
	if strings.Contains(text, "playground") {
		t.Errorf("a page that is not served:\n%s", text)
	}
	if n := strings.Count(text, "\n"); n != readyLines-1 || !strings.HasSuffix(text, "and 3 more: GET /v1/models lists them\n") {
		t.Errorf("eight models take %d lines:\n%s", n, text)
	}
}
