package repository

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestGateHasDefaultsAndLimits(t *testing.T) {
	d, err := parseFile([]byte(good+"versions: {gate: {images: held, max_drop: 0}}"), "model.yaml")
	want := Gate{Images: "held", Limit: 1000, Timeout: 10 * time.Minute, HasMaxDrop: true}
	if err != nil || d.Versions.Gate != want || !d.Versions.Gate.ByClass() {
		t.Errorf("%+v, %v; want %+v", d.Versions.Gate, err, want)
	}
	if d, err := parseFile([]byte(good), "model.yaml"); err != nil || d.Versions.Gate.Defined() {
		t.Errorf("without a gate: %+v, %v", d.Versions.Gate, err)
	}
	for text, want := range map[string]string{
		"{gate: {}}":                                       "versions.gate.images: is required",
		"{gate: {images: a}}":                              "versions.gate: needs min_accuracy, max_drop or min_agreement",
		"{gate: {images: ../a, max_drop: 0.1}}":            "versions.gate.images: \"../a\" is neither a folder in the model's folder nor an absolute path",
		"{gate: {images: a, max_drop: 1.5}}":               "versions.gate.max_drop: 1.5 is out of range (0–1)",
		"{gate: {images: a, min_accuracy: -0.1}}":          "versions.gate.min_accuracy: -0.1 is out of range (0–1)",
		"{gate: {images: a, min_accuracy: .nan}}":          "versions.gate.min_accuracy: NaN is out of range (0–1)",
		"{gate: {images: a, min_agreement: 2}}":            "versions.gate.min_agreement: 2 is out of range (0–1)",
		"{gate: {images: a, max_drop: 0.1, limit: 100}}":   "versions.gate.limit: 100 is out of range (200–10000)",
		"{gate: {images: a, max_drop: 0.1, timeout: 1ms}}": "versions.gate.timeout: 1ms is out of range (1s–24h)",
		"{gate: {images: a, max_drop: 0.1, minimum: 1}}":   "versions.gate.minimum: unknown key",
		"{gate: a}":    "versions.gate: want keys and values",
		"{serve: all}": "versions.serve: unknown key; allowed here: gate",
		"[gate]":       `versions: "gate" is not latest, all, or a list of version numbers`,
		"{gate: {images: a, max_drop: 0.1, min_accuracy: high}}": `versions.gate.min_accuracy: "high" is not a number`,
	} {
		if _, err := parseFile([]byte(good+"versions: "+text), "model.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	for _, task := range []string{"task: none", "task: embedding\noutput: {decode: vector}"} {
		_, err := parseFile([]byte(task+"\nversions: {gate: {images: a, min_agreement: 0.9}}"), "model.yaml")
		if err == nil || !strings.Contains(err.Error(), "versions.gate: only applies with a task with classes or boxes") {
			t.Errorf("%s: %v", task, err)
		}
	}
	for _, task := range []string{"task: detection\noutput: {decode: yolox}", "task: oriented_detection\noutput: {decode: yolo}",
		"task: instance_segmentation\noutput: {decode: yolo, masks: m}", "task: pose\noutput: {decode: yolo, keypoints: [a]}"} {
		for keys, want := range map[string]string{"max_drop: 0": "versions.gate.max_drop: only applies with task: classification",
			"min_accuracy: 0.5": "versions.gate.min_accuracy: only applies with task: classification", "min_agreement: 0.9": ""} {
			_, err := parseFile([]byte(task+"\nversions: {gate: {images: a, "+keys+"}}"), "model.yaml")
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %s: %v", task, keys, err)
			}
		}
	}
}

// gated returns the entry of a model with a gate over some folder.
func gated(t *testing.T, dir, images string) *Entry {
	t.Helper()
	yaml := good + "versions: {gate: {images: " + images + ", max_drop: 0.1}}"
	if err := os.WriteFile(filepath.Join(dir, "m", "model.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := Open(dir).Load("m")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestGateImages(t *testing.T) {
	elsewhere := write(t, map[string]string{"cat/1.png": "one", "secret.png": "s"})
	files := map[string]string{"m/1/model.onnx": "", "m/model.yaml": good, "m/held/cat/1.PNG": "one", "m/held/cat/deep/2.jpeg": "two", "m/held/dog/3.webp": "three",
		"m/held/.hidden/4.png": "", "m/held/notes.txt": "", "m/held/.5.png": "", "shared/6.bmp": "six"}
	for name, c := range map[string]struct {
		images string
		link   [2]string // target, name
		want   []string
		err    string
	}{
		"in the model's folder":         {"held", [2]string{}, []string{"cat/1.PNG", "cat/deep/2.jpeg", "dog/3.webp"}, ""},
		"an absolute folder":            {elsewhere, [2]string{}, []string{"cat/1.png", "secret.png"}, ""},
		"a folder behind a link":        {"held", [2]string{"../../shared", "m/held/bird"}, []string{"bird/6.bmp", "cat/1.PNG", "cat/deep/2.jpeg", "dog/3.webp"}, ""},
		"the folder is a link":          {"more", [2]string{"../shared", "m/more"}, []string{"6.bmp"}, ""},
		"a link out of the repository":  {"held", [2]string{elsewhere, "m/held/bird"}, nil, "outside the repository"},
		"a folder that contains itself": {"held", [2]string{"../held", "m/held/loop"}, nil, "more than 16 folders are nested"},
		"no such folder":                {"none", [2]string{}, nil, "versions.gate.images: "},
		"a file instead of a folder":    {"model.yaml", [2]string{}, nil, "versions.gate.images: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, files)
			if c.link[0] != "" {
				if err := os.Symlink(c.link[0], filepath.Join(dir, c.link[1])); err != nil {
					t.Fatal(err)
				}
			}
			folder, err := gated(t, dir, c.images).GateImages()
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(err.Error(), "versions.gate.images: ") {
					t.Errorf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := folder.Close(); err != nil {
					t.Error(err)
				}
			}()
			if !slices.Equal(folder.Names, c.want) {
				t.Errorf("found %v, want %v", folder.Names, c.want)
			}
			if data, err := folder.Read(folder.Names[0]); err != nil || len(data) == 0 {
				t.Errorf("read %q, %v", data, err)
			}
			if _, err := folder.Read("../" + filepath.Base(dir) + "/none.png"); err == nil {
				t.Error("a file outside of the folder was read")
			}
		})
	}
}

func TestImagesOfAGateAreBounded(t *testing.T) {
	dir := write(t, map[string]string{"m/1/model.onnx": "", "m/held/cat/1.png": ""})
	if err := os.Truncate(filepath.Join(dir, "m/held/cat/1.png"), maxGateImage+1); err != nil {
		t.Fatal(err)
	}
	folder, err := gated(t, dir, "held").GateImages()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	if _, err := folder.Read("cat/1.png"); err == nil || !strings.Contains(err.Error(), "is larger than") || !strings.Contains(err.Error(), "cat/1.png") {
		t.Errorf("%v", err)
	}
}

func TestGateIdentity(t *testing.T) {
	dir := write(t, map[string]string{"m/1/model.onnx": "", "m/held/cat/1.png": ""})
	e := gated(t, dir, "held")
	before := e.GateIdentity()
	if before == "" || e.GateIdentity() != before {
		t.Error("it changes by itself")
	}
	later := time.Now().Add(time.Hour)
	for _, c := range []struct {
		what   string
		change func() error
	}{
		{"an image is added to a class", func() error { return os.Chtimes(filepath.Join(dir, "m/held/cat"), later, later) }},
		{"a class is added", func() error { return os.Chtimes(filepath.Join(dir, "m/held"), later, later) }},
		{"the folder is gone", func() error { return os.Rename(filepath.Join(dir, "m/held"), filepath.Join(dir, "m/gone")) }},
	} {
		was := e.GateIdentity()
		if err := c.change(); err != nil {
			t.Fatal(err)
		}
		if e.GateIdentity() == was || e.GateIdentity() == "" {
			t.Errorf("%s: it did not change", c.what)
		}
	}
	if changed := gated(t, dir, "held, min_accuracy: 0.5").GateIdentity(); changed == e.GateIdentity() {
		t.Error("another gate has the same identity")
	}
	e.Definition.Versions.Gate = Gate{}
	if e.GateIdentity() != "" {
		t.Error("without a gate there is one")
	}
}

// TestVersionsAreNotLoadedAgainForAGate: what is loaded does not depend on which versions are served.
func TestVersionsAreNotLoadedAgainForAGate(t *testing.T) {
	dir := write(t, map[string]string{"m/1/model.onnx": "", "m/held/cat/1.png": ""})
	fingerprint := func(e *Entry) string {
		text, err := e.Fingerprint(e.Versions[0])
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if fingerprint(gated(t, dir, "held")) != fingerprint(gated(t, dir, "held, min_accuracy: 0.5")) {
		t.Error("another gate changes the fingerprint")
	}
}

func TestChoose(t *testing.T) {
	dir := write(t, map[string]string{"m/1/model.onnx": "", "m/2/model.onnx": "", "m/5/model.onnx": "", "m/held/cat/1.png": ""})
	gated(t, dir, "held")
	r := Open(dir)
	r.Choose("m", 2, 1)
	e, err := r.Load("m")
	if err != nil || !slices.Equal(numbers(e.Serve(nil)), []int{1, 2}) || e.Definition.Versions.Gate.Defined() {
		t.Errorf("%+v, %v", e, err)
	}
	for number, want := range map[int]int{6: 5, 5: 2, 2: 1} {
		if before, ok := e.Before(number); !ok || before.Number != want {
			t.Errorf("before %d is %v, %t; want %d", number, before.Number, ok, want)
		}
	}
	if before, ok := e.Before(1); ok {
		t.Errorf("before 1 is %v", before)
	}
}
