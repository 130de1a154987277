package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/inference"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/internal/verify"
)

// random returns n normally distributed numbers times scale.
func random(seed uint64, n int, scale float64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(scale * r.NormFloat64())
	}
	return out
}

// features adds a convolution over an image of 64×64 pixels: [N, cells of 8×8, 16 numbers] from an input of 3 channels.
func features(seed uint64) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 64, 64)
	m.Floats("kernel", random(seed, 16*3*8*8, 0.12), 16, 3, 8, 8)
	m.Node("Conv", "cells", onnxwriter.Attributes{"strides": []int{8, 8}}, "image", "kernel")
	m.Node("Tanh", "bounded", nil, "cells")
	m.Ints("rows", []int64{0, 16, 64}, 3)
	m.Node("Reshape", "flat", nil, "bounded", "rows")
	m.Node("Transpose", "features", onnxwriter.Attributes{"perm": []int{0, 2, 1}}, "flat")
	return m
}

// randomClassifier has five classes.
func randomClassifier() []byte {
	m := features(3)
	m.Ints("all", []int64{0, 1024}, 2)
	m.Node("Reshape", "row", nil, "features", "all")
	m.Floats("weights", random(4, 1024*5, 0.12), 1024, 5)
	m.Node("MatMul", "logits", nil, "row", "weights")
	m.Output("logits", onnxwriter.Float, "n", 5)
	return m.Bytes()
}

// randomDetector has a box per cell, as center and size in fractions of the input, and scores of three classes.
func randomDetector() []byte {
	m := features(5)
	m.Floats("to boxes", random(6, 16*4, 0.5), 16, 4)
	m.Node("MatMul", "offsets", nil, "features", "to boxes")
	m.Node("Sigmoid", "parts", nil, "offsets")
	m.Floats("range", []float32{0.1, 0.1, 0.3, 0.4}, 4)
	m.Node("Mul", "moved", nil, "parts", "range")
	var grid []float32
	for i := range 64 {
		grid = append(grid, float32(i%8)/8, float32(i/8)/8, 0.2, 0.2)
	}
	m.Floats("grid", grid, 64, 4)
	m.Node("Add", "boxes", nil, "moved", "grid")
	m.Floats("to scores", random(7, 16*3, 0.8), 16, 3)
	m.Node("MatMul", "logits", nil, "features", "to scores")
	m.Node("Sigmoid", "scores", nil, "logits")
	m.Output("boxes", onnxwriter.Float, "n", 64, 4)
	m.Output("scores", onnxwriter.Float, "n", 64, 3)
	return m.Bytes()
}

// photograph is a PNG of w×h pixels with discs on a gradient.
func photograph(t *testing.T, seed uint64, w, h int) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 2))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	tint := [3]float64{r.Float64(), r.Float64(), r.Float64()}
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(255 * tint[0] * float64(x) / float64(w)), uint8(255 * tint[1] * float64(y) / float64(h)),
				uint8(80 + 120*tint[2]), 255})
		}
	}
	for range 6 {
		cx, cy, radius := r.IntN(w), r.IntN(h), 5+r.IntN(w/4)
		c := color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
		for y := range h {
			for x := range w {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) < radius*radius {
					m.SetNRGBA(x, y, c)
				}
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// verifyFixture is a repository with a model, and a folder with images.
type verifyFixture struct {
	cfg    Config
	images string
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func newVerifyFixture(t *testing.T, model []byte) *verifyFixture {
	t.Helper()
	f := &verifyFixture{cfg: defaults(), images: t.TempDir()}
	f.cfg.Repository.Dir, f.cfg.Inference.Library, f.cfg.Inference.Device = t.TempDir(), testenv.ORTLibrary(t), "cpu"
	write(t, filepath.Join(f.cfg.Repository.Dir, "model", "1", "model.onnx"), model)
	for i := range 6 {
		w, h := 150+10*i, 100
		if i%2 == 1 {
			w, h = h, w
		}
		write(t, filepath.Join(f.images, fmt.Sprintf("%02d.png", i)), photograph(t, uint64(i), w, h))
	}
	return f
}

func (f *verifyFixture) define(t *testing.T, yaml string) {
	t.Helper()
	write(t, filepath.Join(f.cfg.Repository.Dir, "model", "model.yaml"), []byte(yaml))
}

// predict writes the server's responses for all images to a folder.
func (f *verifyFixture) predict(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cfg := f.cfg.Inference
	cfg.Models = []inference.ModelConfig{{Name: "model", Required: true}}
	engine, err := inference.New(cfg, repository.Open(f.cfg.Repository.Dir), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := engine.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	images, err := verify.Images(f.images)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range images {
		data, err := os.ReadFile(filepath.Join(f.images, name))
		if err != nil {
			t.Fatal(err)
		}
		r, err := engine.Predict(t.Context(), inference.Request{Model: "model", Image: data})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(map[string]any{"predictions": []any{r.Prediction}})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, strings.TrimSuffix(name, ".png")+".json"), text)
	}
	return dir
}

// verify runs the command and returns its report.
func (f *verifyFixture) verify(t *testing.T, expect string, change func(*verifyOptions)) (*verify.Report, error) {
	t.Helper()
	o := verifyDefaults()
	o.images, o.expect, o.json = f.images, expect, true
	change(&o)
	var out bytes.Buffer
	err := verifyModel(t.Context(), f.cfg, "model", o, &out)
	var r verify.Report
	if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil {
		t.Fatalf("%v: %v\n%s", err, jsonErr, out.String())
	}
	return &r, err
}

// TestVerifyTakesNamesAndPaths compares a model with its own predictions.
func TestVerifyTakesNamesAndPaths(t *testing.T) {
	f := newVerifyFixture(t, randomClassifier())
	f.define(t, rightClassifier.yaml())
	o := verifyDefaults()
	o.images, o.expect = f.images, f.predict(t)
	for name, says := range map[string]string{
		"model": "", filepath.Join(f.cfg.Repository.Dir, "model"): "", "other": "there is no model other: ", "/none/model.onnx": "no such file",
	} {
		var out bytes.Buffer
		err := verifyModel(t.Context(), f.cfg, name, o, &out)
		if says == "" && (err != nil || !strings.Contains(out.String(), "model version 1: 6 images compared")) || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}

// settings is a model.yaml as a list of dotted keys.
type settings map[string]string

func (s settings) yaml() string {
	sections := map[string][]string{}
	for key, value := range s {
		section, name, nested := strings.Cut(key, ".")
		switch {
		case value == "":
		case nested:
			sections[section] = append(sections[section], "  "+name+": "+value+"\n")
		default:
			sections[section] = append(sections[section], value)
		}
	}
	var b strings.Builder
	for section, lines := range sections {
		if slices.Sort(lines); strings.HasPrefix(lines[0], "  ") {
			b.WriteString(section + ":\n" + strings.Join(lines, ""))
		} else {
			b.WriteString(section + ": " + lines[0] + "\n")
		}
	}
	return b.String()
}

func (s settings) with(change settings) settings {
	out := settings{}
	for _, from := range []settings{s, change} {
		for key, value := range from {
			out[key] = value
		}
	}
	return out
}

var rightClassifier = settings{"task": "classification", "input.scale": "0.00392156862745098", "input.mean": "[0.485, 0.456, 0.406]",
	"input.std": "[0.229, 0.224, 0.225]", "output.decode": "softmax"}

var rightDetector = settings{"task": "detection", "input.scale": "0.00392156862745098", "input.resize": "letterbox", "input.fill": "[114]",
	"output.decode": "boxes", "output.boxes": "boxes", "output.scores": "scores", "output.box_format": "cxcywh", "output.box_space": "unit",
	"output.score_threshold": "0.25", "output.iou_threshold": "0.5"}

// TestVerifyFindsTheWrongKey takes the answers of a right definition for those of an exporter, breaks a setting and expects
// the command to name its key, and the value that makes predictions equal.
func TestVerifyFindsTheWrongKey(t *testing.T) {
	for what, c := range map[string]struct {
		right settings
		model []byte
		cases []verifyCase
	}{
		"classifier": {rightClassifier, randomClassifier(), []verifyCase{
			{"nothing", settings{}, "", ""},
			{"swapped colors", settings{"input.color": "bgr"}, "input.color", "rgb"},
			{"pixels from 0 to 255", settings{"input.scale": "1"}, "input.scale", "0.00392156862745098"},
			{"no mean and deviation", settings{"input.mean": "", "input.std": ""}, "input.mean", "[0.485, 0.456, 0.406]"},
			{"mean and deviation of another library", settings{"input.mean": "0.5", "input.std": "0.5"}, "input.mean", "[0.485, 0.456, 0.406]"},
			{"mean in the order of blue", settings{"input.mean": "[0.406, 0.456, 0.485]", "input.std": "[0.225, 0.224, 0.229]"}, "input.mean", "[0.485, 0.456, 0.406]"},
			{"letterbox instead of stretch", settings{"input.resize": "letterbox", "input.fill": "114"}, "input.resize", "stretch"},
			{"a crop instead of stretch", settings{"input.resize": "shortest_edge", "input.shortest_edge": "73"}, "input.resize", "stretch"},
		}},
		"classifier that crops": {rightClassifier.with(settings{"input.resize": "shortest_edge", "input.shortest_edge": "73"}), randomClassifier(), []verifyCase{
			{"stretch instead of a crop", settings{"input.resize": "", "input.shortest_edge": ""}, "input.resize", "shortest_edge"},
			{"a larger part of the image", settings{"input.shortest_edge": "64"}, "input.shortest_edge", "73"},
			{"two keys", settings{"input.resize": "", "input.shortest_edge": "", "input.color": "bgr"}, "input.color", "rgb"},
		}},
		"detector": {rightDetector, randomDetector(), []verifyCase{
			{"nothing", settings{}, "", ""},
			{"swapped colors", settings{"input.color": "bgr"}, "input.color", "rgb"},
			{"pixels from 0 to 255", settings{"input.scale": "1"}, "input.scale", "0.00392156862745098"},
			{"a mean that does not belong there", settings{"input.mean": "[0.485, 0.456, 0.406]", "input.std": "[0.229, 0.224, 0.225]"}, "input.mean", "[0]"},
			{"stretch instead of letterbox", settings{"input.resize": "stretch", "input.fill": ""}, "input.resize", "letterbox"},
			{"the image at the top left", settings{"input.place": "top_left"}, "input.place", "center"},
			{"black around it", settings{"input.fill": "[0]"}, "input.fill", "[114]"},
			{"corners instead of centers", settings{"output.box_format": "xywh"}, "output.box_format", "cxcywh"},
			{"no suppression", settings{"output.iou_threshold": ""}, "output.nms", "greedy"},
			{"another overlap", settings{"output.iou_threshold": "0.2"}, "output.iou_threshold", "0.5"},
			{"colors and place", settings{"input.color": "bgr", "input.resize": "stretch", "input.fill": ""}, "input.color", "rgb"},
		}},
	} {
		f := newVerifyFixture(t, c.model)
		f.define(t, c.right.yaml())
		expect := f.predict(t)
		for _, v := range c.cases {
			t.Run(what+": "+v.what, func(t *testing.T) {
				f.define(t, c.right.with(v.wrong).yaml())
				v.check(t, f, expect)
			})
		}
	}
}

type verifyCase struct {
	what       string
	wrong      settings
	key, value string
}

func (v verifyCase) check(t *testing.T, f *verifyFixture, expect string) {
	r, err := f.verify(t, expect, func(o *verifyOptions) { o.agreement, o.tolerance = 0.999, verify.Tolerance{IoU: 0.9, Score: 0.01} })
	if v.key == "" {
		if err != nil || r.Agreement != 1 || r.Similarity < 0.99999 || r.Compared != 6 || r.Tried != 0 {
			t.Errorf("%v: %+v", err, r)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), "below --min-agreement") || r.Likely == nil {
		t.Fatalf("%v: %+v", err, r)
	}
	if !slices.Contains(r.Likely.Lines, verify.Line{Key: v.key, Value: v.value}) {
		t.Errorf("named %v with similarity %v; alternatives %v", r.Likely.Lines, r.Likely.Similarity, r.Alternatives[:3])
	}
	if r.Likely.Similarity < 0.98 || math.Abs(r.Likely.Agreement-1) > 0.05 || r.LikelyYAML == "" {
		t.Errorf("%v leads to agreement %v, similarity %v", r.Likely.Lines, r.Likely.Agreement, r.Likely.Similarity)
	}
}
