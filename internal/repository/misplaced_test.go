package repository

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestMisplacedWeightsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // parts of the one message; none: there is no message
		model bool     // reported for the model, not for the repository
	}{
		"a model as it should be":        {map[string]string{"m/model.yaml": good, "m/1/model.onnx": ""}, nil, false},
		"one whose weights are to come":  {map[string]string{"m/model.yaml": good, "m/1/": "", "m/NOTICE": ""}, nil, true},
		"one that is being fetched":      {map[string]string{"m/model.yaml": good, "m/1/model.onnx.part": "", "m/1/.model.onnx.x1": ""}, nil, true},
		"another name":                   {map[string]string{"m/model.yaml": good, "m/1/resnet50.onnx": ""}, []string{"m/1/resnet50.onnx (must be named model.onnx)"}, true},
		"another case":                   {map[string]string{"m/model.yaml": good, "m/1/MODEL.ONNX": ""}, []string{"m/1/MODEL.ONNX (must be named model.onnx)"}, true},
		"a version with a letter":        {map[string]string{"m/model.yaml": good, "m/v1/model.onnx": ""}, []string{"m/v1/model.onnx", "named by an integer", `"v1"`}, true},
		"a version with a zero in front": {map[string]string{"m/model.yaml": good, "m/01/model.onnx": ""}, []string{"m/01/model.onnx", `"01"`}, true},
		"no version":                     {map[string]string{"m/model.yaml": good, "m/model.onnx": ""}, []string{"m/model.onnx (must be in a version folder, such as 1/model.onnx)"}, true},
		"no version, another name":       {map[string]string{"m/model.yaml": good, "m/best.pt": ""}, []string{"m/best.pt (must be in a version folder"}, true},
		"too deep":                       {map[string]string{"m/model.yaml": good, "m/1/onnx/model.onnx": ""}, []string{"m/1/onnx/model.onnx (too deep"}, true},
		"a TensorRT plan":                {map[string]string{"m/model.yaml": good, "m/1/model.plan": ""}, []string{"m/1/model.plan (must be an ONNX file named model.onnx)"}, true},
		"an archive":                     {map[string]string{"m/model.yaml": good, "m/1/model.onnx.GZ": ""}, []string{"m/1/model.onnx.GZ (must be an ONNX file named model.onnx)"}, true},
		"weights of transformers":        {map[string]string{"m/model.yaml": good, "m/pytorch_model.bin": "", "m/1/training_args.bin": ""}, []string{"m/pytorch_model.bin (must be in a version folder"}, true},
		"next to a valid version":        {map[string]string{"m/model.yaml": good, "m/1/model.onnx": "", "m/2/resnet.onnx": ""}, []string{"model m has a version that is not served", "m/2/resnet.onnx (must be named model.onnx)"}, false},
		"v2 next to 1":                   {map[string]string{"m/model.yaml": good, "m/1/model.onnx": "", "m/v2/model.onnx": ""}, []string{"model m has a version that is not served", "m/v2/model.onnx", `not "v2"`}, false},
		"no version next to 1":           {map[string]string{"m/model.yaml": good, "m/1/model.onnx": "", "m/model.onnx": ""}, []string{"a version that is not served", "m/model.onnx (must be in a version folder"}, false},
		"a training folder next to 1":    {map[string]string{"m/model.yaml": good, "m/1/model.onnx": "", "m/checkpoints/best.pt": ""}, nil, false},
		"other files next to model.onnx": {map[string]string{"m/model.yaml": good, "m/1/model.onnx": "", "m/1/resnet.onnx": ""}, nil, false},
		"in the repository itself":       {map[string]string{"model.onnx": ""}, []string{"model.onnx is directly in the repository", "NAME/1/model.onnx", "NAME/model.yaml"}, false},
		"another format there":           {map[string]string{"Best.PT": ""}, []string{"Best.PT is directly in the repository"}, false},
		"a model's folder as repository": {map[string]string{"model.yaml": good, "1/model.onnx": ""}, []string{"model.yaml is directly in the repository", "repository.dir"}, false},
		"no definition":                  {map[string]string{"m/1/model.onnx": ""}, []string{"m has weights but no model.yaml", "m/1/model.onnx"}, false},
		"a Triton model":                 {map[string]string{"m/config.pbtxt": "", "m/1/model.onnx": ""}, []string{"m has weights but no model.yaml", "m/1/model.onnx", "config.pbtxt is Triton's"}, false},
		"a Triton model of TensorRT":     {map[string]string{"m/config.pbtxt": "", "m/1/model.plan": ""}, []string{"m/1/model.plan", "config.pbtxt is Triton's"}, false},
		"a definition by another name":   {map[string]string{"m/model.yml": good, "m/1/model.onnx": ""}, []string{"m has weights", "must be named model.yaml, not model.yml"}, false},
		"a definition in another case":   {map[string]string{"m/Model.YAML": good, "m/1/model.onnx": ""}, []string{"must be named model.yaml, not Model.YAML"}, false},
		"models in a folder":             {map[string]string{"acme/m/model.yaml": good, "acme/m/1/model.onnx": ""}, []string{"acme has weights", "acme/m/1/model.onnx (too deep; want NAME/1/model.onnx"}, false},
		"folders of other things":        {map[string]string{"docs/readme.md": "", ".git/x.onnx": "", "lost+found/": ""}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, c.files)
			repo := Open(dir)
			text := ""
			if err := errors.Join(repo.Misplaced()...); err != nil {
				text = err.Error()
			}
			if c.model {
				if text != "" {
					t.Errorf("reported for the repository, too: %s", text)
				}
				entry, err := repo.Load("m")
				if err != nil {
					t.Fatal(err)
				}
				text = entry.Misplaced()
			}
			if text != "" && len(c.want) == 0 {
				t.Error(text)
			}
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in %q", want, text)
				}
			}
			if strings.Count(text, "\n") > 0 || text != "" && !strings.Contains(text, dir+string(filepath.Separator)) {
				t.Errorf("want one message with the place, not %q", text)
			}
		})
	}
}

func TestWeightsThatAVersionLinksToAreNotMisplaced(t *testing.T) {
	dir := write(t, map[string]string{"m/model.yaml": good, "m/model.onnx": "", "m/1/": ""})
	if err := os.Symlink("../model.onnx", filepath.Join(dir, "m/1/model.onnx")); err != nil {
		t.Fatal(err)
	}
	if found := Open(dir).Misplaced(); len(found) > 0 {
		t.Error(found)
	}
}

func TestSearchForWeightsIsLimited(t *testing.T) {
	files := map[string]string{"m/model.yaml": good}
	for i := range maxScanned + 50 {
		files[filepath.Join("m", string(rune('A'+i%20)), strconv.Itoa(i))] = ""
	}
	dir := write(t, files)
	s := newScan(filepath.Join(dir, "m"))
	if s.weights("", maxScanDepth); s.left != 0 {
		t.Errorf("%d of %d names are left to look at", s.left, maxScanned)
	}
	if got := len(newScan(filepath.Join(write(t, map[string]string{"m/a.onnx": "", "m/b.onnx": "", "m/c.onnx": "", "m/d/e.onnx": ""}), "m")).weights("", 3)); got != maxFound {
		t.Errorf("%d files are named, want %d", got, maxFound)
	}
}
