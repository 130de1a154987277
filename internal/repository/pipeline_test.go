package repository

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPipelineDefaults(t *testing.T) {
	d, err := ParseDefinition([]byte(`task: pipeline
steps:
  - {model: yunet}
  - {name: identity, model: arcface, of: yunet, crop: {by: points, template: arcface, width: 224, height: 224}}
  - {name: gender, model: gender, of: yunet}
`), "model.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d.MaxCrops != 1000 || d.Batching.Queue != 256 || d.Steps[0].Name != "yunet" || d.Steps[0].Crop.By != "" || d.Steps[2].Crop.By != CropBox {
		t.Errorf("%+v", d)
	}
	c := d.Steps[1].Crop
	if c.Width != 224 || len(c.Target) != 5 || c.Target[0][0] != 2*38.2946 || c.Target[4][1] != 2*92.2041 {
		t.Errorf("the template is not scaled to the crop: %+v", c)
	}
	if err := d.Validate(); err != nil {
		t.Errorf("a second check: %v", err)
	}
}

func TestPipelineErrors(t *testing.T) {
	step := func(text string) string { return "steps: [{name: a, model: m}, {name: b, model: n, " + text + "}]" }
	for name, test := range map[string]struct{ text, want string }{
		"no steps":                     {"", "steps: has 0 steps; a pipeline has 1 to 32"},
		"too many steps":               {"steps:\n" + strings.Repeat("- {model: m}\n", 33), "steps: has 33 steps"},
		"no model":                     {"steps: [{name: a}]", "steps[0].model: is required"},
		"a model that is a path":       {"steps: [{name: a, model: ../m}]", `steps[0].model: "../m" is not a valid model name`},
		"a name twice":                 {"steps: [{model: m}, {model: m}]", `steps[1].name: "m" is already the name of a step`},
		"a name of an object's key":    {"steps: [{name: score, model: m}]", `steps[0].name: "score" is a key of objects in answers`},
		"a name that is none":          {"steps: [{name: 'a b', model: m}]", `steps[0].name: "a b" is not a valid name`},
		"of a later step":              {"steps: [{name: a, model: m, of: b}, {name: b, model: m}]", `steps[0].of: "b" is not the name of an earlier step`},
		"of itself":                    {"steps: [{name: a, model: m, of: a}]", `steps[0].of: "a" is not the name of an earlier step`},
		"a crop of the whole image":    {"steps: [{name: a, model: m, crop: {margin: 0.1}}]", "steps[0].crop: only applies with of:"},
		"labels of the whole image":    {"steps: [{name: a, model: m, labels: [x]}]", "steps[0].labels: only applies with of:"},
		"a turn of the whole image":    {"steps: [{name: a, model: m, turn: {step: a, label: x}}]", `steps[0].turn.step: "a" is not the name of an earlier step that sees the whole image`},
		"a turn by angles and a label": {"steps: [{name: a, model: m}, {name: b, model: m, turn: {step: a, by: label, label: x}}]", "steps[1].turn.label: only applies with by: half"},
		"a turn by something else":     {"steps: [{name: a, model: m}, {name: b, model: m, turn: {step: a, by: eye, label: x}}]", `steps[1].turn.by: "eye" is not one of half, label`},
		"a score of the whole image":   {"steps: [{name: a, model: m, min_score: 0.5}]", "steps[0].min_score: only applies with of:"},
		"a score above 1":              {step("of: a, min_score: 2"), "steps[1].min_score: 2 is out of range (0–1)"},
		"an unknown crop":              {step("of: a, crop: {by: circle}"), `steps[1].crop.by: "circle" is not one of`},
		"a margin of corners":          {step("of: a, crop: {by: quad, margin: 0.1}"), "steps[1].crop.margin: only applies with by: box"},
		"a negative margin":            {step("of: a, crop: {margin: -1}"), "steps[1].crop.margin: -1 is out of range"},
		"a turn of upright boxes":      {step("of: a, crop: {turn_tall: 2}"), "steps[1].crop.turn_tall: only applies with by: quad"},
		"a template of boxes":          {step("of: a, crop: {template: arcface}"), "steps[1].crop.template: only applies with by: points"},
		"points without a target":      {step("of: a, crop: {by: points, width: 9, height: 9}"), "steps[1].crop.target: has 0 points"},
		"points without a size":        {step("of: a, crop: {by: points, target: [[1, 2], [3, 4]]}"), "steps[1].crop.width: 0 is out of range"},
		"a point of three numbers":     {step("of: a, crop: {by: points, width: 9, height: 9, target: [[1, 2], [3, 4, 5]]}"), "steps[1].crop.target[1]: [3 4 5] is no point"},
		"another number of names":      {step("of: a, crop: {by: points, template: arcface, keypoints: [x]}"), "steps[1].crop.keypoints: has 1 names for 5 points"},
		"an unknown template":          {step("of: a, crop: {by: points, template: face}"), `steps[1].crop.template: "face" is not one of`},
		"turned by no step":            {step("of: a, turn: {step: a, label: x}"), `steps[1].turn.step: "a" is not the name of an earlier step of: a`},
		"turned by a step without of":  {"steps: [{name: a, model: m}, {name: b, model: m}, {name: c, model: m, of: a, turn: {step: b, label: x}}]", `steps[2].turn.step: "b" is not`},
		"turned by no label":           {"steps: [{name: a, model: m}, {name: b, model: m, of: a}, {name: c, model: m, of: a, turn: {step: b}}]", "steps[2].turn.label: is required"},
		"weights":                      {step("of: a") + "\nsource: {url: 'https://example.org/m.onnx'}", "source.url: does not apply with task: pipeline"},
		"an input":                     {step("of: a") + "\ninput: {width: 9}", "input: does not apply with task: pipeline"},
		"an output":                    {step("of: a") + "\noutput: {decode: yolo}", "output: does not apply with task: pipeline"},
		"batches":                      {step("of: a") + "\nbatching: {max_size: 2}", "batching.max_size: does not apply with task: pipeline"},
		"no crops":                     {step("of: a") + "\nmax_crops: 0", "max_crops: 0 is out of range (1–10000)"},
		"an unknown key":               {step("over: a"), "steps[1].over: unknown key"},
		"a parameter out of range":     {"steps: [{name: a, model: m, parameters: {score_threshold: 2}}]", "steps[0].parameters.score_threshold: 2 is out of range"},
		"the pipeline itself":          {"name: p\nsteps: [{name: a, model: p}]", `steps[0].model: "p" is the pipeline itself`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseDefinition([]byte("task: pipeline\n"+test.text+"\n"), "model.yaml")
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
	_, err := ParseDefinition([]byte("task: classification\noutput: {decode: softmax}\nsteps: [{model: m}]\nmax_crops: 2\n"), "model.yaml")
	if err == nil || !strings.Contains(err.Error(), "steps: only applies with task: pipeline") || !strings.Contains(err.Error(), "max_crops: only applies") {
		t.Errorf("steps of another task: %v", err)
	}
}

func TestPipelineWithWeights(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"p/model.yaml": "task: pipeline\nsteps: [{model: m}]\n", "p/1/model.onnx": "x"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir).Load("p"); err == nil || !strings.Contains(err.Error(), "a pipeline has no weights, but there are some") {
		t.Errorf("got %v", err)
	}
}

func TestWithSteps(t *testing.T) {
	dir := t.TempDir()
	for name, steps := range map[string]string{"a": "[{model: b}, {model: c}]", "b": "[{model: d}, {model: a}]", "c": "[{model: d}]"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "model.yaml"), []byte("task: pipeline\nsteps: "+steps+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := Open(dir).WithSteps([]string{"a", "x"}); !slices.Equal(got, []string{"a", "x", "b", "c", "d"}) {
		t.Errorf("got %v", got)
	}
}

// TestDocumentedPipelines reads the definitions that docs/pipelines.md shows.
func TestDocumentedPipelines(t *testing.T) {
	files, err := filepath.Glob("../../docs/pipelines/*/model.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	doc, err := os.ReadFile("../../docs/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseDefinition(data, file); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(doc), string(data)) {
			t.Errorf("docs/pipelines.md does not show %s", file)
		}
	}
}
