package repository

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
)

// inferrer infers classifications whose labels are in labels.txt next to the file, and counts its calls.
type inferrer struct{ calls int }

func (i *inferrer) infer(g *Graph, beside fs.FS, set map[string]string) (*Inferred, error) {
	i.calls++
	d := Definition{Task: Classification, Output: Output{Decode: "softmax"}}
	labels, err := fs.ReadFile(beside, "labels.txt")
	switch {
	case set["labels"] != "":
		d.Labels = strings.Split(set["labels"], ",")
	case err == nil:
		d.Labels = strings.Fields(string(labels))
	case errors.Is(err, fs.ErrNotExist):
		return nil, &UnknownError{[]Question{{Key: "labels", Reason: "there are no names", Candidates: []string{"a,b"}}}}
	default:
		return nil, err
	}
	return &Inferred{Definition: d.WithDefaults(), Exporter: "test", Origins: []Origin{{Key: "input.scale", Value: "1", Assumed: true}}}, nil
}

// tiny is an ONNX file with one input and one output.
func tiny(metadata string) []byte {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, 1, 3, 8, 8)
	m.Node("ReduceMean", metadata, onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	m.Output(metadata, onnxwriter.Float, 1, 3)
	return m.Bytes()
}

// lay writes files below a folder.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWeightsWithoutDefinitionAreInferred(t *testing.T) {
	dir := t.TempDir()
	onnx := string(tiny("y"))
	lay(t, dir, map[string]string{
		"beside/1/model.onnx": onnx, "beside/1/labels.txt": "a b c",
		"above/2/model.onnx": onnx, "above/10/model.onnx": onnx, "above/labels.txt": "d e f",
		"both/1/model.onnx": onnx, "both/1/labels.txt": "near by it", "both/labels.txt": "a b c",
		"unknown/1/model.onnx":    onnx,
		"text/1/model.onnx":       "not a model",
		"defined/model.yaml":      "task: classification\noutput: {decode: probabilities}\n",
		"defined/1/model.onnx":    onnx,
		"misnamed/Model.yml":      "task: classification\n",
		"misnamed/1/model.onnx":   onnx,
		"flat/model.onnx":         onnx,
		"version/v1/model.onnx":   onnx,
		".hidden/1/model.onnx":    onnx,
		"not a name/1/model.onnx": onnx,
		"documents/1/readme.txt":  "",
		"file":                    "",
		"engine/1/model.plan":     "x",
		"engine/config.pbtxt":     "",
	})
	r := Open(dir)
	if names, err := r.Names(); err != nil || !slices.Equal(names, []string{"defined"}) {
		t.Errorf("without SetInfer: %q, %v", names, err)
	}
	in := &inferrer{}
	r.SetInfer(in.infer)
	names, err := r.Names()
	if want := []string{"above", "beside", "both", "defined", "text", "unknown"}; !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
	if err == nil || !strings.Contains(err.Error(), `"not a name" is not a valid model name`) {
		t.Errorf("Names: %v", err)
	}
	for name, want := range map[string]string{"beside": "a b c", "above": "d e f", "both": "near by it"} {
		e, err := r.Load(name)
		if err != nil || strings.Join(e.Definition.Labels, " ") != want || e.Definition.Name != name || e.Inferred == nil || len(e.Inferred.Assumptions()) != 1 {
			t.Errorf("%s: %+v, %v; want the labels %q", name, e, err, want)
			continue
		}
		if _, err := e.Weights(e.Serve(nil)[0]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e, err := r.Load("defined"); err != nil || e.Inferred != nil || e.Definition.Output.Decode != "probabilities" {
		t.Errorf("the defined model: %+v, %v", e, err)
	}
	if _, err := r.Load("unknown"); !errors.As(err, new(*UnknownError)) || !strings.Contains(err.Error(), "labels: there are no names; say labels=a,b") {
		t.Errorf("a model of which too little is known: %v", err)
	}
	if _, err := r.Load("text"); err == nil || !strings.Contains(err.Error(), "text/1/model.onnx: is a text") {
		t.Errorf("a file that is no model: %v", err)
	}
	for _, name := range []string{"misnamed", "flat", "version", "documents", "engine"} {
		if _, err := r.Load(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	misplaced := fmt.Sprint(r.Misplaced())
	for _, want := range []string{"must be named model.yaml, not Model.yml", "flat/model.onnx (must be in a version folder", "v1", "config.pbtxt is Triton's"} {
		if !strings.Contains(misplaced, want) {
			t.Errorf("misplaced lacks %q: %s", want, misplaced)
		}
	}
	if strings.Contains(misplaced, "beside") || strings.Contains(misplaced, "unknown") {
		t.Errorf("models are misplaced: %s", misplaced)
	}
}

func TestInferenceIsRepeatedOnlyForChangedFiles(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"m/1/model.onnx": string(tiny("y")), "m/labels.txt": "a b"})
	r, in := Open(dir), &inferrer{}
	r.SetInfer(in.infer)
	fingerprint := func() string {
		t.Helper()
		e, err := r.Load("m")
		if err != nil {
			t.Fatal(err)
		}
		text, err := e.Fingerprint(e.Versions[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := fingerprint()
	if again := fingerprint(); again != first || in.calls != 1 {
		t.Errorf("%d calls for two syncs; equal %t", in.calls, again == first)
	}
	for i, change := range []map[string]string{
		{"m/labels.txt": "a b c"},
		{"m/1/labels.txt": "d e f g"}, // which comes first
		{"m/config.json": "{}"},
		{"m/1/model.onnx": string(tiny("other"))},
	} {
		lay(t, dir, change)
		if next := fingerprint(); next == first || in.calls != i+2 {
			t.Errorf("%v: %d calls; equal %t", change, in.calls, next == first)
		} else {
			first = next
		}
	}
	lay(t, dir, map[string]string{"m/1/weights.bin": "x"})
	if next := fingerprint(); next == first || in.calls != 5 {
		t.Errorf("other files of the version: %d calls; equal %t", in.calls, next == first)
	}
}

func TestFailedInferenceIsRepeatedWhenFilesChange(t *testing.T) {
	dir := t.TempDir()
	lay(t, dir, map[string]string{"m/1/model.onnx": string(tiny("y"))})
	r, in := Open(dir), &inferrer{}
	r.SetInfer(in.infer)
	for range 2 {
		if _, err := r.Load("m"); !errors.As(err, new(*UnknownError)) || in.calls != 1 {
			t.Fatalf("%d calls: %v", in.calls, err)
		}
	}
	lay(t, dir, map[string]string{"m/labels.txt": "a"})
	if _, err := r.Load("m"); err != nil {
		t.Error(err)
	}
	inferred, err := r.Infer("m", map[string]string{"labels": "x,y"})
	if err != nil || len(inferred.Definition.Labels) != 2 {
		t.Errorf("Infer with set: %+v, %v", inferred, err)
	}
	if e, err := r.Load("m"); err != nil || len(e.Definition.Labels) != 1 {
		t.Errorf("what was set is kept: %+v, %v", e, err)
	}
}

func TestUnreadableIsNotInferred(t *testing.T) {
	in := &inferrer{}
	for name, damage := range map[string]func(dir string) error{
		"a model.yaml that is a dangling link": func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "m/model.yaml")) },
		"labels that are a dangling link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "m/labels.txt")), os.Symlink("nowhere", filepath.Join(dir, "m/labels.txt")))
		},
		"weights that are a dangling link": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "m/1/model.onnx")), os.Symlink("nowhere", filepath.Join(dir, "m/1/model.onnx")))
		},
		"a disk that is no longer mounted": func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, "m"), filepath.Join(dir, ".away")), os.Mkdir(filepath.Join(dir, "m"), 0o755))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, map[string]string{"m/1/model.onnx": string(tiny("y")), "m/labels.txt": "a b"})
			r := Open(dir)
			r.SetInfer(in.infer)
			if _, err := r.Load("m"); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if names, err := r.Names(); err != nil || !slices.Equal(names, []string{"m"}) {
				t.Errorf("names %q, %v", names, err)
			}
			if _, err := r.Load("m"); !errors.Is(err, ErrUnreadable) || errors.Is(err, ErrNotFound) {
				t.Errorf("Load: %v", err)
			}
		})
	}
	dir := t.TempDir()
	lay(t, dir, map[string]string{"m/1/model.onnx": string(tiny("y")), "m/labels.txt": "a b", "m/keep": ""})
	r := Open(dir)
	r.SetInfer(in.infer)
	if _, err := r.Load("m"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "m/1")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load("m"); !errors.Is(err, ErrNotFound) {
		t.Errorf("weights that were removed: %v", err)
	}
}

func TestLabelsOutsideTheRepositoryAreAnError(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	lay(t, other, map[string]string{"labels.txt": "a b"})
	lay(t, dir, map[string]string{"m/1/model.onnx": string(tiny("y"))})
	if err := os.Symlink(filepath.Join(other, "labels.txt"), filepath.Join(dir, "m/labels.txt")); err != nil {
		t.Fatal(err)
	}
	r := Open(dir)
	r.SetInfer((&inferrer{}).infer)
	if _, err := r.Load("m"); err == nil || errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "outside the repository") {
		t.Errorf("Load: %v", err)
	}
}
