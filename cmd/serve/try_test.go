package main

import (
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
