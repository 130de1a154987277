package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/fetch"
	"fovea/internal/fileutil"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// inferColors infers the definition of the test model colors.onnx, in place of package exporter's inference: its labels are in
// labels.txt, or they are set.
func inferColors(t *testing.T) {
	t.Helper()
	was, wrote := infer, writeDefinition
	t.Cleanup(func() { infer, writeDefinition = was, wrote })
	infer = func(_ *repository.Graph, beside fs.FS, set map[string]string) (*repository.Inferred, error) {
		d := repository.Definition{Task: repository.Classification, Input: repository.Input{Scale: 1.0 / 255}, Output: repository.Output{Decode: "softmax"}}
		labels, err := fs.ReadFile(beside, "labels.txt")
		if d.Labels = strings.Fields(string(labels)); set["labels"] != "" {
			d.Labels = strings.Split(set["labels"], ",")
		} else if err != nil {
			return nil, &repository.UnknownError{Questions: []repository.Question{
				{Key: "labels", Reason: "nothing names the 3 classes", Candidates: []string{"red,green,blue", "a b,c,d"}},
				{Key: "normalization", Reason: "the file does not say it"}}}
		}
		return &repository.Inferred{Definition: d.WithDefaults(), Exporter: "test", Origins: []repository.Origin{
			{Key: "input.scale", Value: "0.00392", From: "usual of tests", Assumed: true}, {Key: "labels", Value: "labels.txt", From: "labels.txt"}}}, nil
	}
	writeDefinition = func(*repository.Inferred) []byte {
		return []byte("# written by a test\ntask: classification\nlabels: labels.txt\ninput: {scale: 0.00392156862745098}\noutput: {decode: softmax}\n")
	}
}

func colorsONNX(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Root(t), "inference", "testdata", "colors.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	return data
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

// found lists the files below a folder.
func found(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return files
}

// adder runs models add on one repository.
type adder struct {
	t   *testing.T
	dir string
}

func (a adder) add(from string, change func(*addition)) (string, error) {
	a.t.Helper()
	cfg := defaults()
	cfg.Repository.Dir, cfg.Inference.Library, cfg.Inference.Device = a.dir, testenv.ORTLibrary(a.t), "cpu"
	var out bytes.Buffer
	run := &addition{cfg: cfg, text: from, out: &out, progress: io.Discard}
	if change != nil {
		change(run)
	}
	err := run.run(a.t.Context())
	return out.String(), err
}

func TestAdd(t *testing.T) {
	inferColors(t)
	a := adder{t, filepath.Join(t.TempDir(), "models")}
	from := t.TempDir()
	lay(t, from, map[string]string{"best.onnx": string(colorsONNX(t)), "other.onnx": "x", "holiday.jpg": "x"})
	best := filepath.Join(from, "best.onnx")

	_, err := a.add(best, nil)
	for _, want := range []string{"labels: nothing names the 3 classes; add one of these to serve models add " + best + ":\n    --set labels=red,green,blue\n    --set 'labels=a b,c,d'",
		"normalization: the file does not say it", "--set normalization=…"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a question: %v\nlacks %q", err, want)
		}
	}
	labels := func(a *addition) { a.sets = []string{"labels=red,green,blue"} }
	out, err := a.add(best, func(a *addition) { labels(a); a.dryRun = true })
	if err != nil || !strings.HasPrefix(out, "# written by a test\n") || len(found(t, a.dir)) > 0 {
		t.Errorf("--dry-run: %v\n%s\n%q", err, out, found(t, a.dir))
	}
	out, err = a.add(best, labels)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"best version 1: ready", "inferred from test, 1 assumption", "assumed  input.scale: 0.00392 (usual of tests)",
		"labels: labels.txt (labels.txt)", "http://127.0.0.1:8000/v1/models/best/predict"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if files := found(t, a.dir); !slices.Equal(files, []string{"best/1/model.onnx", "best/labels.txt", "best/model.yaml"}) {
		t.Errorf("the repository has %q", files)
	}
	if text, err := os.ReadFile(filepath.Join(a.dir, "best/labels.txt")); string(text) != "red\ngreen\nblue\n" {
		t.Errorf("labels %q, %v", text, err)
	}
}

func TestAddToAnExistingModel(t *testing.T) {
	inferColors(t)
	a := adder{t, t.TempDir()}
	from := t.TempDir()
	lay(t, from, map[string]string{"best.onnx": string(colorsONNX(t)), "labels.txt": "red green blue"})
	lay(t, a.dir, map[string]string{"best/1/model.onnx": string(colorsONNX(t)), "best/labels.txt": "r\ng\nb\n",
		"best/model.yaml": "task: classification\nlabels: labels.txt\noutput: {decode: softmax}\n"})
	best := filepath.Join(from, "best.onnx")
	before := found(t, a.dir)
	for name, test := range map[string]struct {
		change func(*addition)
		says   string
	}{
		"the same name":              {nil, "has a model best; add a version of it with --version 2, replace it with --force, or use another --name"},
		"the same version":           {func(a *addition) { a.version = 1 }, "model best has a version 1"},
		"a set key with a version":   {func(a *addition) { a.version, a.sets = 2, []string{"labels=a,b,c"} }, "--set does not apply"},
		"an invalid name":            {func(a *addition) { a.name = "../best" }, "is not a valid model name"},
		"a set that is not a pair":   {func(a *addition) { a.sets = []string{"labels"} }, `"labels" is not KEY=VALUE`},
		"a set key twice":            {func(a *addition) { a.sets = []string{"labels=a", "labels=b"} }, "labels is given twice"},
		"a source that is not there": {func(a *addition) { a.name, a.text = "new", "/none/best.onnx" }, "no such file"},
		"labels that do not fit":     {func(a *addition) { a.name, a.sets = "new", []string{"labels=a,b"} }, "new is not added, since it does not load"},
		"a key that does not exist":  {func(a *addition) { a.name, a.sets, a.text = "new", []string{"nosuch=1"}, "/none/best.onnx" }, "--set nosuch=1: is no key of model.yaml"}, // before the source is read
		"a value that is not valid":  {func(a *addition) { a.name, a.sets, a.text = "new", []string{"resize=nowhere"}, "/none/best.onnx" }, `--set input.resize: "nowhere" is not one of`},
		"labels in no file":          {func(a *addition) { a.name, a.sets = "new", []string{"labels=none.txt"} }, "--set labels=none.txt: there is no such file, neither next to the model nor in the current folder"},
	} {
		if _, err := a.add(best, test.change); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %q", name, err, test.says)
		}
	}
	if files := found(t, a.dir); !slices.Equal(files, before) {
		t.Errorf("failed attempts leave %q", files)
	}
	if out, err := a.add(best, func(a *addition) { a.version = 2 }); err != nil || !strings.Contains(out, "added best version 2") {
		t.Fatalf("a version: %v\n%s", err, out)
	}
	e, err := repository.Open(a.dir).Load("best")
	if err != nil || len(e.Versions) != 2 || e.Definition.Labels[0] != "r" {
		t.Errorf("with a second version: %+v, %v", e, err)
	}
	if out, err := a.add(best, func(a *addition) { a.force = true }); err != nil || !strings.Contains(out, "added best version 1") {
		t.Fatalf("--force: %v\n%s", err, out)
	}
	e, err = repository.Open(a.dir).Load("best")
	if err != nil || len(e.Versions) != 1 || e.Definition.Labels[0] != "red" {
		t.Errorf("replaced: %+v, %v", e, err)
	}
	if left, _ := filepath.Glob(filepath.Join(a.dir, ".*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestAddFromAServerIsPinned(t *testing.T) {
	inferColors(t)
	onnx := colorsONNX(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/best.onnx":
			_, _ = w.Write(onnx)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	a := adder{t, t.TempDir()}
	if _, err := a.add(server.URL+"/best.onnx", nil); err == nil || !strings.Contains(err.Error(), "labels: nothing names") {
		t.Fatalf("a question: %v", err)
	}
	if files := found(t, filepath.Join(a.dir, ".add-best")); !slices.Contains(files, "models/best/1/model.onnx") {
		t.Errorf("what was fetched is not kept: %q", files)
	}
	if _, err := a.add(server.URL+"/best.onnx", func(a *addition) { a.sets = []string{"labels=red,green,blue"} }); err != nil {
		t.Fatal(err)
	}
	d, err := repository.ReadDefinition(a.dir, "best")
	sum := sha256.Sum256(onnx)
	if err != nil || d.Source.URL != server.URL+"/best.onnx" || d.Source.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("source %+v, %v", d.Source, err)
	}
	pull := func() error {
		return fetch.Pull(context.WithoutCancel(t.Context()), fetch.PullOptions{Dir: a.dir, Name: "best"})
	}
	if err := pull(); err != nil {
		t.Errorf("pull of what is there: %v", err)
	}
	if err := os.Remove(filepath.Join(a.dir, "best/1/model.onnx")); err != nil {
		t.Fatal(err)
	}
	onnx = bytes.Clone(onnx)
	onnx[len(onnx)-1] ^= 1
	if err := pull(); err == nil || !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) {
		t.Errorf("pull of another file: %v", err)
	}
}

func TestOneAdditionOfANameAtATime(t *testing.T) {
	inferColors(t)
	a := adder{t, t.TempDir()}
	lay(t, a.dir, map[string]string{".add-best/x": ""})
	unlock, err := fileutil.TryLock(filepath.Join(a.dir, ".add-best/lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	from := filepath.Join(t.TempDir(), "best.onnx")
	lay(t, filepath.Dir(from), map[string]string{"best.onnx": string(colorsONNX(t)), "labels.txt": "r g b"})
	if _, err := a.add(from, nil); err == nil || !strings.Contains(err.Error(), "best is being added by another process") {
		t.Error(err)
	}
}

func TestNameOfSource(t *testing.T) {
	for text, want := range map[string]string{
		"hf://onnx-community/rtdetr_r50vd":                 "rtdetr_r50vd",
		"hf://onnx-community/rtdetr_r50vd/onnx/model.onnx": "rtdetr_r50vd",
		"https://example.com/a/best.onnx?download=true":    "best",
		"s3://bucket/models/yolo/model.onnx":               "yolo",
		"oci://registry.example.com/team/yolo:v3":          "yolo",
		"some/where/yolo11n.onnx":                          "yolo11n",
		"https://example.com/yolo/1/model.onnx":            "yolo",
		"hf://owner/Repo-1.5@main":                         "Repo-1.5",
		"hf://owner/repo/onnx/model_int8.onnx":             "model_int8",
		"s3://bucket/team/detector/":                       "detector",
		"s3://bucket":                                      "bucket",
	} {
		s, err := fetch.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := nameOfSource(s); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestMove(t *testing.T) {
	for name, move := range map[string]func(from, to string, replace bool) error{"at once": move, "in two steps": moveApart} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lay(t, dir, map[string]string{"new/file": "new", "there/file": "old"})
			at := func(name string) string { return filepath.Join(dir, name) }
			if err := move(at("new"), at("there"), false); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over another: %v", err)
			}
			if err := move(at("new"), at("free"), false); err != nil {
				t.Error(err)
			}
			if err := move(at("free"), at("there"), true); err != nil {
				t.Error(err)
			}
			if text, err := os.ReadFile(at("there/file")); string(text) != "new" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

// TestAddWithRealInference adds a detector of Ultralytics with settings and files that it does not need.
func TestAddWithRealInference(t *testing.T) {
	from, elsewhere := t.TempDir(), t.TempDir()
	lay(t, from, map[string]string{"pets.onnx": string(detector()), "coco.names": "stray\n", "colors.onnx": string(colorsONNX(t)), "rgb.names": "r\ng\nb\n"})
	lay(t, elsewhere, map[string]string{"other.txt": "x\ny\nz\n"})
	at := func(name string) string { return filepath.Join(from, name) }
	for name, test := range map[string]struct {
		text   string
		change func(*addition)
		want   []string // in the output, or the error
		fails  bool
	}{
		"a stray file with labels":           {at("pets.onnx"), nil, []string{"pets version 1: ready", "2 labels", "labels: labels.txt (metadata names)"}, false},
		"the model.yaml without assumptions": {at("pets.onnx"), func(a *addition) { a.dryRun = true }, []string{"# Inferred from Ultralytics.\ntask: detection"}, false},
		"another resize":                     {at("pets.onnx"), func(a *addition) { a.sets = []string{"resize=stretch"} }, []string{"input.resize: stretch (set)", "pets version 1: ready"}, false},
		"a size that the file does not have": {at("pets.onnx"), func(a *addition) { a.sets, a.dryRun = []string{"size=32"}, true },
			[]string{"the definition does not fit the ONNX file: input.width: model.yaml says 32, model.onnx says 64"}, true},
		"an image that is not there": {at("pets.onnx"), func(a *addition) { a.sets = []string{"self_test.image=none.jpg"} },
			[]string{"pets is not added, since it does not load", "/models/pets/model.yaml:", "self_test.image: none.jpg: no such file"}, true},
		"a stray file whose labels do not fit": {at("colors.onnx"), nil, []string{"there is 1 label (coco.names); say --set labels=… with all 3"}, true},
		"labels next to the model":             {at("colors.onnx"), func(a *addition) { a.sets = []string{"labels=rgb.names"} }, []string{"labels: labels.txt (rgb.names)", "3 labels"}, false},
		"labels from elsewhere":                {at("colors.onnx"), func(a *addition) { a.sets = []string{"labels=" + filepath.Join(elsewhere, "other.txt")} }, []string{"labels: labels.txt (other.txt)"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := adder{t, filepath.Join(t.TempDir(), "models")}.add(test.text, test.change)
			if err != nil {
				out += err.Error()
			}
			if (err != nil) != test.fails || strings.Contains(out, ".add-") { // the stage is hidden
				t.Errorf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}

// TestFilesWithLabelsAreFetched has labels in each of the files in which they are looked for, next to a file that is added.
func TestFilesWithLabelsAreFetched(t *testing.T) {
	for _, name := range []string{"labels.txt", "classes.txt", "label.txt", "names.txt", "coco.names", "obj.names", "imagenet_classes.txt", "synset.txt", "labelmap.txt"} {
		from := t.TempDir()
		lay(t, from, map[string]string{"colors.onnx": string(colorsONNX(t)), name: "r\ng\nb\n"})
		out, err := adder{t, t.TempDir()}.add(filepath.Join(from, "colors.onnx"), func(a *addition) { a.dryRun = true })
		if err != nil || !strings.Contains(out, "labels: labels.txt                       # "+name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestAddAVersionToAListOfVersions adds versions that the definition does not select.
func TestAddAVersionToAListOfVersions(t *testing.T) {
	from := filepath.Join(t.TempDir(), "pets.onnx")
	lay(t, filepath.Dir(from), map[string]string{"pets.onnx": string(detector())})
	for name, test := range map[string]struct {
		versions string
		add      int
		says     string
	}{
		"a list":              {"versions: [1, 3]\n", 2, "it is not served: versions in DIR/pets/model.yaml lists 1, 3; add 2"},
		"a list with it":      {"versions: [1, 2]\n", 2, "a running server loads it"},
		"all":                 {"versions: all\n", 2, "a running server loads it"},
		"the latest is newer": {"", 2, `it is not served: the latest version is 3; "versions: all" in DIR/pets/model.yaml serves it as well`},
		"the latest":          {"", 4, "a running server loads it"},
	} {
		dir := t.TempDir()
		lay(t, dir, map[string]string{"pets/1/model.onnx": string(detector()), "pets/3/model.onnx": string(detector()), "pets/labels.txt": "cat\ndog\n",
			"pets/model.yaml": detectorDefinition + test.versions})
		out, err := adder{t, dir}.add(from, func(a *addition) { a.version = test.add })
		if err != nil || !strings.Contains(out, strings.ReplaceAll(test.says, "DIR", dir)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "pets/model.yaml")); err != nil || string(text) != detectorDefinition+test.versions {
			t.Errorf("%s: %v, the definition is\n%s", name, err, text)
		}
	}
}

func TestVersionIsInRange(t *testing.T) {
	for _, version := range []string{"0", "-1", "1000000001"} {
		out, err := command(t, t.TempDir(), "models", "add", "best.onnx", "--version="+version).CombinedOutput()
		if exitStatus(err) != 1 || !strings.Contains(string(out), "--version: "+version+" is out of range (1–1000000000)") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
