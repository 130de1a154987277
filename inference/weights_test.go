package inference

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/inference/onnx"
	"fovea/internal/repository"
)

func TestMisplacedWeightsAreReported(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *testRepository)
		model  string // that is shown as failed; empty: reported for the repository
		want   string
	}{
		"another name":    {func(r *testRepository) { r.define("m", colors).write("m/1/resnet50.onnx", []byte("x")) }, "m", "m/1/resnet50.onnx (must be named model.onnx)"},
		"v1":              {func(r *testRepository) { r.define("m", colors).add("m", 1, "colors").move("m/1", "m/v1") }, "m", "m/v1/model.onnx"},
		"no version":      {func(r *testRepository) { r.define("m", colors).write("m/model.onnx", []byte("x")) }, "m", "m/model.onnx (must be in"},
		"a Triton folder": {func(r *testRepository) { r.write("m/config.pbtxt", nil); r.write("m/1/model.plan", []byte("x")) }, "", "m has weights but no model.yaml"},
		"a bare file":     {func(r *testRepository) { r.write("model.onnx", []byte("x")) }, "", "model.onnx is directly in the repository"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			c.change(r)
			e := r.engine(nil)
			err := e.Sync(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("no %q in %v", c.want, err)
			}
			if failed := (*SyncError)(nil); !errors.As(err, &failed) || len(failed.Failures) != 1 || len(failed.Required()) != 0 {
				t.Errorf("%v", err)
			}
			list := e.Models()
			switch {
			case c.model == "" && !strings.Contains(strings.Join(e.Ready(), "\n"), c.want):
				t.Errorf("not ready because %q, without %q", e.Ready(), c.want)
			case c.model == "" && len(list) > 0:
				t.Errorf("%+v", list)
			case c.model != "" && (len(list) != 1 || list[0].State != Failed || !strings.Contains(list[0].Error, c.want)):
				t.Errorf("no %q in %+v", c.want, list)
			}
			r.remove("m")
			r.remove("model.onnx")
			r.define("good", colors).add("good", 1, "colors")
			if err := e.Sync(t.Context()); err != nil || len(e.Ready()) > 0 {
				t.Errorf("once it is put right: %v, %q", err, e.Ready())
			}
		})
	}
}

func TestMisplacedModelOfTheConfigurationIsReported(t *testing.T) {
	r := newRepository(t).define("good", colors).add("good", 1, "colors")
	r.write("triton/config.pbtxt", nil)
	r.write("triton/1/model.onnx", []byte("x"))
	r.write("stray.onnx", []byte("x"))
	e := r.engine(func(c *Config) { c.Models = []ModelConfig{{Name: "good"}} })
	if err := e.Sync(t.Context()); err != nil {
		t.Errorf("a model that is not configured is reported: %v", err)
	}
	e = r.engine(func(c *Config) { c.Models = []ModelConfig{{Name: "triton", Required: true}} })
	err := e.Sync(t.Context())
	for _, want := range []string{"no such model", "triton has weights but no model.yaml", "config.pbtxt is Triton's", "stray.onnx is directly in the repository"} {
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(strings.Join(e.Ready(), "\n"), want) {
			t.Errorf("no %q in %v, or not in %q", want, err, e.Ready())
		}
	}
}

// move renames a file or folder of the repository.
func (r *testRepository) move(from, to string) {
	r.t.Helper()
	if err := os.Rename(filepath.Join(r.dir, from), filepath.Join(r.dir, to)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *testRepository) link(target, name string) {
	r.t.Helper()
	next := filepath.Join(r.dir, name+".next")
	if err := errors.Join(os.MkdirAll(filepath.Dir(next), 0o755), os.Symlink(target, next), os.Rename(next, filepath.Join(r.dir, name))); err != nil {
		r.t.Fatal(err)
	}
}

// Kubernetes replaces a volume's files by changing one link, which the next StartSync must see.
func TestReplacedVolumeIsReloaded(t *testing.T) {
	r := newRepository(t)
	for volume, labels := range map[string]string{"..1": "red\ngreen\nblue\n", "..2": "rouge\nvert\nbleu\n"} {
		r.write("m/"+volume+"/model.yaml", []byte(colors+"self_test: {image: self.png}\n"))
		r.write("m/"+volume+"/labels.txt", []byte(labels))
		r.write("m/"+volume+"/self.png", plain(t, red, 8, 8))
		r.add("m/"+volume, 1, "colors")
	}
	r.link("..1", "m/..data")
	for _, name := range []string{"model.yaml", "labels.txt", "self.png", "1"} {
		r.link("..data/"+name, "m/"+name)
	}
	e := r.synced(nil)
	before := e.models["m"].served[0]
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Fatalf("got %q, %v", first(got), err)
	}
	if err := e.Sync(t.Context()); err != nil || e.models["m"].served[0] != before {
		t.Errorf("a look without a change loaded again: %v", err)
	}
	r.link("..2", "m/..data")
	r.remove("m/..1")
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "rouge" {
		t.Errorf("after the exchange: %q, %v", first(got), err)
	}
}

// A refused link fails like a version, so the served version is kept.
func TestRefusedLinkKeepsTheOldVersion(t *testing.T) {
	outside := newRepository(t).add("x", 1, "colors")
	r := newRepository(t).define("m", colors).add("m", 1, "colors")
	e := r.synced(nil)
	r.link(filepath.Join(outside.dir, "x", "1", "model.onnx"), "m/2/model.onnx")
	err := e.Sync(t.Context())
	if err == nil || !strings.Contains(err.Error(), "model m version 2: ") || !strings.Contains(err.Error(), "is outside the repository") {
		t.Errorf("%v", err)
	}
	if got := states(e); got != "m/1:ready m/2:failed" {
		t.Errorf("states %s", got)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); first(got) != "red" {
		t.Errorf("got %q, %v", first(got), err)
	}
}

// ONNX Runtime restricts external data to folders by its own rule, which must allow what repository.Entry.Weights does.
func TestRuntimeReadsExternalDataBehindLinks(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("onnx", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		root         string
		files, links [2]string // of model.onnx and of its external data
	}{
		"no links":                 {"", [2]string{"m/1/model.onnx", "m/1/external.data"}, [2]string{}},
		"a volume of Kubernetes":   {"", [2]string{"m/1/..1/model.onnx", "m/1/..1/external.data"}, [2]string{"..1/model.onnx", "..1/external.data"}},
		"files shared by versions": {"", [2]string{"shared/r50.onnx", "shared/external.data"}, [2]string{"../../shared/r50.onnx", ""}},
		"a snapshot of Hugging Face": {"hub/m/snapshots/a", [2]string{"hub/m/blobs/01", "hub/m/blobs/02"},
			[2]string{"../../../../blobs/01", "../../../../blobs/02"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository(t)
			for i, file := range []string{"external.onnx", "external.data"} {
				r.write(c.files[i], read(file))
				if c.links[i] != "" {
					r.link(c.links[i], filepath.Join(c.root, "m", "1", []string{"model.onnx", "external.data"}[i]))
				}
			}
			inner := &testRepository{t, filepath.Join(r.dir, c.root)}
			inner.define("m", colors)
			entry, err := repository.Open(inner.dir).Load("m")
			if err != nil {
				t.Fatal(err)
			}
			weights, err := entry.Weights(entry.Versions[0])
			if err != nil {
				t.Fatal(err)
			}
			r.engine(nil) // which opens the runtime
			s, err := onnx.NewSession(weights.Path, onnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
