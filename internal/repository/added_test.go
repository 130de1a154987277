package repository

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

func TestAddPath(t *testing.T) {
	onnx := string(tiny("y"))
	external := &onnxwriter.Model{}
	external.Input("image", onnxwriter.Float, 1, 3, 8, 8)
	external.Weights = []onnxwriter.Tensor{{Name: "w", Type: onnxwriter.Float, Dims: []int{2}, External: []string{"location", "data.bin", "length", "8"}}}
	external.Output("image", onnxwriter.Float, 1, 3, 8, 8)
	for name, test := range map[string]struct {
		files  map[string]string
		links  map[string]string
		add    string
		name   string
		labels string
		path   string // of the weights
		says   string // the error
	}{
		"a file": {files: map[string]string{"best.onnx": onnx, "labels.txt": "a b", "other.onnx": "x"}, add: "best.onnx",
			name: "best", labels: "a b", path: "best.onnx"},
		"a file with external data": {files: map[string]string{"best.onnx": string(external.Bytes()), "labels.txt": "a", "data.bin": "12345678"},
			add: "best.onnx", name: "best", labels: "a", path: "best.onnx"},
		"a file whose name is not that of a model": {files: map[string]string{"_my model (1).ONNX": onnx, "labels.txt": "a"}, add: "_my model (1).ONNX",
			name: "my-model--1", labels: "a", path: "_my model (1).ONNX"},
		"a link to a file elsewhere": {files: map[string]string{"data/v3.onnx": onnx, "data/labels.txt": "there", "here/labels.txt": "here"},
			links: map[string]string{"here/best.onnx": "../data/v3.onnx"}, add: "here/best.onnx", name: "best", labels: "there", path: "data/v3.onnx"},
		"a version's file":                {files: map[string]string{"yolo/2/model.onnx": onnx, "yolo/labels.txt": "a b"}, add: "yolo/2/model.onnx", name: "yolo", labels: "a b", path: "yolo/2/model.onnx"},
		"a file of a defined model":       {files: map[string]string{"yolo/2/model.onnx": onnx, "yolo/model.yaml": "task: classification\nlabels: names\noutput: {decode: softmax}\n", "yolo/names": "x\ny\n"}, add: "yolo/2/model.onnx", name: "yolo", labels: "x y", path: "yolo/2/model.onnx"},
		"a model's folder":                {files: map[string]string{"yolo/2/model.onnx": onnx, "yolo/10/model.onnx": onnx, "yolo/10/labels.txt": "a b"}, add: "yolo", name: "yolo", labels: "a b", path: "yolo/10/model.onnx"},
		"a folder of Hugging Face":        {files: map[string]string{"detr/onnx/model.onnx": onnx, "detr/labels.txt": "a b", "detr/onnx/model_int8.onnx": onnx}, add: "detr", name: "detr", labels: "a b", path: "detr/onnx/model.onnx"},
		"a flat folder":                   {files: map[string]string{"vit/model.onnx": onnx, "vit/labels.txt": "a b", "vit/other.onnx": onnx}, add: "vit/", name: "vit", labels: "a b", path: "vit/model.onnx"},
		"a flat folder with a definition": {files: map[string]string{"vit/model.onnx": onnx, "vit/model.yaml": "task: classification\nlabels: labels.txt\noutput: {decode: softmax}\n", "vit/labels.txt": "x\n"}, add: "vit", name: "vit", labels: "x", path: "vit/model.onnx"},
		"a folder with one ONNX file":     {files: map[string]string{"run/best.onnx": onnx, "run/labels.txt": "a b"}, add: "run", name: "run", labels: "a b", path: "run/best.onnx"},
		"a folder with several":           {files: map[string]string{"run/best.onnx": onnx, "run/last.onnx": onnx}, add: "run", says: "has 2 ONNX files; name one"},
		"a repository":                    {files: map[string]string{"models/yolo/1/model.onnx": onnx}, add: "models", says: "is a repository of models, such as yolo; use --repository.dir="},
		"a folder without ONNX files":     {files: map[string]string{"run/best.pt": "x"}, add: "run", says: "has no ONNX file"},
		"a file that does not exist":      {add: "best.onnx", says: "no such file"},
		"a snapshot of the Hugging Face cache": {files: map[string]string{"models--org--detr/blobs/1234": onnx, "models--org--detr/snapshots/abc/labels.txt": "a"},
			links: map[string]string{"models--org--detr/snapshots/abc/model.onnx": "../../blobs/1234"}, add: "models--org--detr/snapshots/abc",
			name: "detr", labels: "a", path: "models--org--detr/snapshots/abc/model.onnx"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, test.files)
			for link, target := range test.links {
				lay(t, dir, map[string]string{filepath.Join(filepath.Dir(link), ".x"): ""})
				if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
			}
			r := Open("")
			r.SetInfer((&inferrer{}).infer)
			got, err := r.AddPath(dir + "/" + test.add)
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("got %q, %v; want an error with %q", got, err, test.says)
				}
				return
			}
			if err != nil || got != test.name {
				t.Fatalf("the name %q, %v; want %q", got, err, test.name)
			}
			if names, err := r.Names(); err != nil || !slices.Equal(names, []string{got}) {
				t.Errorf("names %q, %v", names, err)
			}
			e, err := r.Load(got)
			if err != nil {
				t.Fatal(err)
			}
			v := e.Serve(nil)[0]
			if labels := strings.Join(e.Definition.Labels, " "); labels != test.labels || v.Path != filepath.Join(dir, test.path) || e.Definition.Name != got {
				t.Errorf("labels %q, weights %s", labels, v.Path)
			}
			if _, err := e.Weights(v); err != nil {
				t.Error(err)
			}
			if _, err := e.Fingerprint(v); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAddedModelsBesideThoseOfTheFolder(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	onnx := string(tiny("y"))
	lay(t, dir, map[string]string{"a/1/model.onnx": onnx, "a/labels.txt": "a", "best/1/model.onnx": onnx, "best/labels.txt": "folder"})
	lay(t, other, map[string]string{"best.onnx": onnx, "labels.txt": "file", "z/best.onnx": onnx})
	r := Open(dir)
	r.SetInfer((&inferrer{}).infer)
	if _, err := r.AddPath(filepath.Join(other, "best.onnx")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddPath(filepath.Join(other, "z/best.onnx")); err == nil || !strings.Contains(err.Error(), "another model has the name best") {
		t.Errorf("a second model of the name: %v", err)
	}
	names, err := r.Names()
	if !slices.Equal(names, []string{"a", "best"}) || err == nil || !strings.Contains(err.Error(), "best is not served: another model has its name") {
		t.Errorf("names %q, %v", names, err)
	}
	if e, err := r.Load("best"); err != nil || e.Definition.Labels[0] != "file" {
		t.Errorf("best: %+v, %v", e, err)
	}
}

func TestFingerprintOfAnAddedFile(t *testing.T) {
	dir := t.TempDir()
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, 1, 3, 8, 8)
	m.Weights = []onnxwriter.Tensor{{Name: "w", Type: onnxwriter.Float, Dims: []int{2}, External: []string{"location", "data.bin", "length", "8"}}}
	m.Output("image", onnxwriter.Float, 1, 3, 8, 8)
	lay(t, dir, map[string]string{"best.onnx": string(m.Bytes()), "labels.txt": "a", "data.bin": "12345678"})
	r := Open("")
	r.SetInfer((&inferrer{}).infer)
	name, err := r.AddPath(filepath.Join(dir, "best.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := func() string {
		e, err := r.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := e.Fingerprint(e.Versions[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := fingerprint()
	lay(t, dir, map[string]string{"holiday.jpg": "x", "last.onnx": "x"})
	if fingerprint() != before {
		t.Error("a file that is no part of the model changes it")
	}
	for _, change := range []map[string]string{{"data.bin": "123456789"}, {"config.json": "{}"}, {"labels.txt": "a b"}} {
		lay(t, dir, change)
		if next := fingerprint(); next == before {
			t.Errorf("%v changes nothing", change)
		} else {
			before = next
		}
	}
	if err := os.Remove(filepath.Join(dir, "best.onnx")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(name); !errors.Is(err, ErrNotFound) {
		t.Errorf("a file that was removed: %v", err)
	}
}

func TestNameOf(t *testing.T) {
	for path, want := range map[string]string{
		"best.onnx": "best", "/a/yolov8n-320.v2.onnx": "yolov8n-320.v2", "a/b/model.onnx": "b", "yolo/3/model.onnx": "yolo",
		"facebook/detr-resnet-50/onnx/model.onnx": "detr-resnet-50", "facebook/detr-resnet-50": "detr-resnet-50", "model.onnx": "model",
		"models--a--b/snapshots/0123/model.onnx": "b", "Größe.onnx": "Gr--e", "...": "model", strings.Repeat("x", 300) + ".onnx": strings.Repeat("x", 128),
	} {
		if got := NameOf(path); got != want || !ValidName(got) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
