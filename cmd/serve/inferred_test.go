package main

import (
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"fovea/inference"
	"fovea/internal/onnxwriter"
)

// sees checks that a model sees the cat of a red image.
func (p *process) sees(path string) {
	p.t.Helper()
	got := p.post(path, "image/jpeg", solid(p.t, 640, 640, color.RGBA{255, 0, 0, 255}))
	if got.status != 200 || !strings.Contains(got.body, `"label":"cat","score":0.89`) || strings.Contains(got.body, "dog") {
		p.t.Errorf("%s: %d %s", path, got.status, got.body)
	}
}

func TestFolderWithoutDefinitionIsServed(t *testing.T) {
	dir := newRepository(t)
	p := start(t, dir).waitReady()
	lay(t, dir, map[string]string{"pets/1/model.onnx": string(detector())})
	p.signal(syscall.SIGHUP)
	p.waitServed("pets")
	p.sees("/v1/models/pets/predict")
	p.good()
	got := p.get("/v1/models/pets")
	for _, want := range []string{`"labels":["cat","dog"]`, `"definition":"inferred","exporter":"Ultralytics`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	if got := p.get("/v1/models/" + model); !strings.Contains(got.body, `"definition":"file","assumptions":[]`) {
		t.Errorf("the defined model: %s", got.body)
	}
	if !strings.Contains(p.logged(), `"definition":"inferred"`) || !strings.Contains(p.logged(), `"assumptions":`) {
		t.Error("the log does not say that the definition is inferred")
	}
	if got := p.post("/predict", "image/jpeg", solid(t, 8, 8, red)); got.status != 400 || got.Code != "model_required" ||
		!strings.Contains(got.Error, "one of "+model+", pets") {
		t.Errorf("/predict with two models: %d %s", got.status, got.body)
	}
	// A definition that is written later takes its place.
	lay(t, dir, map[string]string{"pets/model.yaml": detectorDefinition, "pets/labels.txt": "kitten\npuppy\n"})
	p.signal(syscall.SIGHUP)
	p.wait("the definition of the file", func() bool {
		got := p.get("/v1/models/pets").body
		return strings.Contains(got, `"definition":"file"`) && strings.Contains(got, "kitten")
	})
	if err := os.RemoveAll(filepath.Join(dir, "pets")); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	p.wait("the removed model is unloaded", func() bool { return p.get("/v1/models/pets").status == 404 })
}

func TestModelThatCannotBeInferredDisturbsNoOther(t *testing.T) {
	dir := newRepository(t)
	lay(t, dir, map[string]string{"text/1/model.onnx": "no model", "colors/1/model.onnx": string(colorsONNX(t))})
	p := start(t, dir).waitReady()
	p.good()
	if got := p.get("/v1/models/text"); !strings.Contains(got.body, "is a text") || !strings.Contains(got.body, `"state":"failed"`) {
		t.Errorf("%s", got.body)
	}
	got := p.get("/v1/models/colors")
	if !strings.Contains(got.body, `"definition":"inferred"`) || !strings.Contains(got.body, `"assumptions":[{"key":"`) {
		t.Errorf("the assumptions: %s", got.body)
	}
}

func TestServePaths(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"best.onnx": string(detector()), "other/model.onnx": string(detector()), "repository/pets/1/model.onnx": string(detector()),
		"two/best.onnx": string(detector())})
	before := found(t, dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	one := start(t, "/none", at("best.onnx"))
	// command gives --repository.dir, which serves that as well: a folder that does not exist
	one.waitServed("best")
	one.sees("/predict")
	several := start(t, at("repository"), at("best.onnx"), at("other")).waitReady()
	for _, name := range []string{"best", "other", "pets"} {
		several.waitServed(name)
		several.sees("/v1/models/" + name + "/predict")
	}
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{at("best.onnx"), at("two/best.onnx")}, "another model has the name best"},
		{[]string{at("none.onnx")}, "no such file"},
		{[]string{at("repository")}, "is a repository of models, such as pets; use --repository.dir="},
	} {
		out, err := command(t, at("repository"), append(test.args, "--http.address=127.0.0.1:0")...).CombinedOutput()
		if exitStatus(err) != 78 || !strings.Contains(string(out), test.says) {
			t.Errorf("%q: %v\n%s", test.args, err, out)
		}
	}
	if after := found(t, dir); !slices.Equal(after, before) {
		t.Errorf("serving has written files: %q", after)
	}
}

func TestPathsReplaceTheConfiguredRepository(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"best.onnx": string(detector()), "models/pets/1/model.onnx": string(detector())})
	for name, test := range map[string]struct {
		both   bool
		models string // configured
		want   []string
	}{
		"only the paths":          {false, "", []string{"best"}},
		"also what is configured": {true, "", []string{"best", "pets"}},
		"not the models listed":   {false, "pets", []string{"best"}},
	} {
		cfg := defaults()
		cfg.Repository.Dir = filepath.Join(dir, "models")
		if test.models != "" {
			cfg.Inference.Models, cfg.Inference.Default = []inference.ModelConfig{{Name: test.models}}, test.models
		}
		repo, err := repositoryOf(&cfg, []string{filepath.Join(dir, "best.onnx")}, test.both)
		if err != nil {
			t.Fatal(err)
		}
		names, err := repo.Names()
		if err != nil || !slices.Equal(names, test.want) {
			t.Errorf("%s: %q, %v; want %q", name, names, err, test.want)
		}
		if !test.both && (len(cfg.Inference.Models) != 1 || !cfg.Inference.Models[0].Required || cfg.Inference.Default != "") {
			t.Errorf("%s: %+v, default %q", name, cfg.Inference.Models, cfg.Inference.Default)
		}
	}
}

func TestModelsAddAndServe(t *testing.T) {
	dir, from := newRepository(t), t.TempDir()
	lay(t, from, map[string]string{"pets.onnx": string(detector())})
	p := start(t, dir).waitReady()
	out, err := command(t, dir, "models", "add", filepath.Join(from, "pets.onnx")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "pets version 1: ready") || !strings.Contains(string(out), "added pets version 1") {
		t.Fatalf("%v\n%s", err, out)
	}
	definition, err := os.ReadFile(filepath.Join(dir, "pets/model.yaml"))
	if err != nil || !strings.Contains(string(definition), "decode: yolo") || !strings.Contains(string(definition), "# ") {
		t.Errorf("%v\n%s", err, definition)
	}
	p.signal(syscall.SIGHUP)
	p.waitServed("pets")
	p.sees("/v1/models/pets/predict")
	if got := p.get("/v1/models/pets"); !strings.Contains(got.body, `"definition":"file"`) {
		t.Errorf("%s", got.body)
	}
}

// untrained is a detector of Ultralytics whose scores differ from cell to cell, and hardly from image to image.
func untrained() []byte {
	m := &onnxwriter.Model{Producer: "pytorch", Metadata: map[string]string{"author": "Ultralytics", "task": "detect", "imgsz": "[64, 64]", "names": "{0: 'cat'}", "stride": "32"}}
	const n = 84
	m.Input("images", onnxwriter.Float, 1, 3, 64, 64)
	boxes, scores := make([]float32, 4*n), make([]float32, n)
	for i := range n {
		boxes[i], boxes[n+i], boxes[2*n+i], boxes[3*n+i] = 32, 32, 32, 16
		scores[i] = float32(i) / 1000
	}
	m.Floats("boxes", boxes, 1, 4, n)
	m.Floats("constant", scores, 1, 1, n)
	m.Floats("little", []float32{0.0001}, 1)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{1, 2}, "keepdims": 1}, "images")
	m.Ints("one", []int64{1, 1, 64}, 3)
	m.Node("Reshape", "row", nil, "mean", "one")
	m.Node("ReduceMean", "light", onnxwriter.Attributes{"axes": []int{2}, "keepdims": 1}, "row")
	m.Node("Mul", "hardly", nil, "light", "little")
	m.Node("Add", "scores", nil, "constant", "hardly")
	m.Node("Concat", "output0", onnxwriter.Attributes{"axis": 1}, "boxes", "scores")
	m.Output("output0", onnxwriter.Float, 1, 5, n)
	return m.Bytes()
}

// TestScaleOfAKnownExporterIsNotDoubted checks and adds an untrained detector, with the exporter's scale and with another.
func TestScaleOfAKnownExporterIsNotDoubted(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"inferred/1/model.onnx": string(untrained()), "defined/1/model.onnx": string(untrained()), "defined/labels.txt": "cat\n", "defined/model.yaml": detectorDefinition})
	lay(t, from, map[string]string{"new.onnx": string(untrained())})
	const doubt = "scores hardly depended on the image"
	for args, want := range map[string]bool{
		"check inferred": false, "check defined": true, "add " + filepath.Join(from, "new.onnx"): false,
		"add --name other --set scale=0.0039 " + filepath.Join(from, "new.onnx"): true,
	} {
		out, err := command(t, dir, append([]string{"models"}, strings.Fields(args)...)...).CombinedOutput()
		if err != nil || strings.Contains(string(out), doubt) != want {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}
