package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// TestPipelinesExample sends the image of docs/pipelines.md and expects the prediction that it shows.
func TestPipelinesExample(t *testing.T) {
	models, ok := testenv.SharedModels(t)
	if !ok {
		t.Skip("there is no folder of real models")
	}
	doc, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "pipelines.md"))
	if err != nil {
		t.Fatal(err)
	}
	request := regexp.MustCompile(`(?m)^curl .*--data-binary @testdata/images/(\S+) -H 'Content-Type: (\S+)' 'http://127.0.0.1:8000(\S+)'`).FindSubmatch(doc)
	answer := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(doc)
	if request == nil || answer == nil {
		t.Fatal("there is no request, or no answer")
	}
	dir := newRepository(t)
	for _, name := range []string{"models/yolox-nano", "docs/pipelines/detect-classify"} {
		if err := os.CopyFS(filepath.Join(dir, filepath.Base(name)), os.DirFS(filepath.Join(testenv.Root(t), name))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "yolox-nano", "1"), 0o755); err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(models, "yolox-nano.onnx"))
	if err != nil {
		t.Skip(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "yolox-nano", "1", "model.onnx"), weights, 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir).waitReady()
	reply := p.post(string(request[3]), string(request[2]), testenv.Image(t, string(request[1])))
	var want, got map[string]any
	if err := json.Unmarshal(answer[1], &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(reply.body), &got); err != nil {
		t.Fatalf("%v in %s", err, reply.body)
	}
	forgetTimes(want)
	forgetTimes(got)
	if w, g := printedJSON(t, rounded(want)), printedJSON(t, rounded(got)); w != g {
		t.Errorf("the document says\n%s\nthe server\n%s", w, g)
	}
}

// forgetTimes removes numbers that differ from one request to the next; the keys stay.
func forgetTimes(answer map[string]any) {
	timing := answer["timing"].(map[string]any)
	for stage, v := range timing {
		if steps, ok := v.([]any); ok {
			for _, step := range steps {
				for key, v := range step.(map[string]any) {
					if _, ok := v.(float64); ok && key != "images" {
						step.(map[string]any)[key] = 0
					}
				}
			}
			continue
		}
		timing[stage] = 0
	}
}

// rounded rounds numbers of pixels and scores, which differ a little from one CPU to the next.
func rounded(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, of := range v {
			v[key] = rounded(of)
		}
	case []any:
		for i, of := range v {
			v[i] = rounded(of)
		}
	case float64:
		switch {
		case v == math.Trunc(v):
			return v
		case v < 1:
			return math.Round(v*20) / 20
		}
		return math.Round(v/2) * 2
	}
	return v
}

func TestModelsCheckLoadsTheModelsOfAPipeline(t *testing.T) {
	dir := newRepository(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name, "model.yaml")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("twice", "task: pipeline\nsteps: [{name: one, model: efficientnet-lite0, parameters: {top_k: 1}}, {name: two, model: efficientnet-lite0}]\n")
	write("broken", "task: pipeline\nsteps: [{name: one, model: efficientnet-lite0}, {name: two, model: twice, of: one}, {name: three, model: nothing}]\n")
	run := func(args ...string) (string, error) {
		out, err := command(t, dir, args...).CombinedOutput()
		return string(out), err
	}
	coffee := filepath.Join(testenv.Root(t), "testdata", "images", "coffee.jpg")
	out, err := run("models", "check", "twice", "--image", coffee, "--annotate", filepath.Join(dir, "drawn.png"))
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"twice version 1: ready", "  task     pipeline, 2 steps\n", "  step     one: model efficientnet-lite0, of the image\n", "  step     two\n  sees     0.", "espresso"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Count(out, "espresso") != 2 {
		t.Errorf("the prediction of the model alone is not asked for:\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(dir, "drawn.png")); err != nil {
		t.Error(err)
	}
	out, err = run("models", "check", "broken")
	for _, want := range []string{"step two: of: step one finds no objects: the task of model efficientnet-lite0 is classification", "step three: model nothing is not ready: no such model"} {
		if err == nil || !strings.Contains(out+err.Error(), want) {
			t.Errorf("no %q in\n%v\n%s", want, err, out)
		}
	}
	out, err = run("models", "list")
	if err != nil || !regexp.MustCompile(`twice +pipeline +none`).MatchString(out) {
		t.Errorf("%v\n%s", err, out)
	}
}
