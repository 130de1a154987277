package inference

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/postprocess"
)

// sample is an image and the classes that are right for it.
type sample struct {
	name   string
	data   []byte
	labels []string // any of these
	class  int      // or this one, where labels is empty
}

// shipped are the sample images that ImageNet has a class for; see testdata/images/README.md.
func shipped() []sample {
	return []sample{
		{name: "chelsea.jpg", labels: []string{"tiger cat", "Egyptian cat", "tabby"}},
		{name: "coffee.jpg", labels: []string{"espresso"}},
		{name: "rocket.jpg", labels: []string{"missile"}},
	}
}

// ten are the ten photographs of known classes, where they are.
var ten = map[string]int{"airliner": 404, "arctic-fox": 279, "bee": 309, "golden_retriever": 207, "gorilla": 366,
	"magnetic_compass": 635, "peacock": 84, "pelican": 144, "snail": 113, "zebra": 340}

// samples are the ten photographs, or the shipped images where those are not there.
func samples(t testing.TB) []sample {
	t.Helper()
	var list []sample
	dir, ok := testenv.SharedImages(t)
	if !ok {
		list = shipped()
		for i := range list {
			list[i].data = testenv.Image(t, list[i].name)
		}
		return list
	}
	for name, class := range ten {
		data, err := os.ReadFile(filepath.Join(dir, "classes", name+".jpeg"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sample{name: name, data: data, class: class})
	}
	slices.SortFunc(list, func(a, b sample) int { return strings.Compare(a.name, b.name) })
	return list
}

// right reports whether the best class of an answer is the sample's.
func (s sample) right(r *Response) bool {
	if len(s.labels) > 0 {
		return slices.ContainsFunc(s.labels, func(l string) bool { return strings.HasPrefix(first(r), l) })
	}
	c, ok := r.Prediction.(*postprocess.Classified)
	return ok && len(c.Top) > 0 && c.Top[0].Class == s.class
}

// real puts shipped models into the repository: the default one, and those of the names whose weights are there.
// It returns the names of those that exist.
func (r *testRepository) real(batching string, names ...string) (there []string) {
	r.t.Helper()
	r.ship("efficientnet-lite0", filepath.Join(testenv.Models(r.t), "efficientnet-lite0", "1", "model.onnx"), batching)
	there = []string{"efficientnet-lite0"}
	dir, ok := testenv.SharedModels(r.t)
	for _, name := range names {
		weights := filepath.Join(dir, name+".onnx")
		if _, err := os.Stat(weights); ok && err == nil {
			r.ship(name, weights, batching)
			there = append(there, name)
		}
	}
	return there
}

// ship puts one shipped definition into the repository, with its weights.
func (r *testRepository) ship(name, weights, batching string) {
	r.t.Helper()
	from := filepath.Join(testenv.Root(r.t), "models", name)
	files, err := os.ReadDir(from)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		if file.IsDir() {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, file.Name()))
		if err != nil {
			r.t.Fatal(err)
		}
		if file.Name() == "model.yaml" {
			data = append(data, "\n"+batching+"\n"...)
		}
		r.write(filepath.Join(name, file.Name()), data)
	}
	data, err := os.ReadFile(weights)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(filepath.Join(name, "1", "model.onnx"), data)
}

func TestClassifiersNameTheImages(t *testing.T) {
	r := newRepository(t)
	names := r.real("", "mobilenetv2-12-int8", "squeezenet-fp32", "squeezenet-fp16")
	e := r.synced(nil)
	for _, name := range names {
		for _, s := range samples(t) {
			got, err := e.Predict(t.Context(), Request{Model: name, Image: s.data})
			switch {
			case err != nil:
				t.Errorf("%s, %s: %v", name, s.name, err)
			case !s.right(got):
				t.Errorf("%s calls %s %q", name, s.name, first(got))
			}
		}
	}
	for _, s := range shipped() {
		got, err := e.Predict(t.Context(), Request{Model: "efficientnet-lite0", Image: testenv.Image(t, s.name)})
		if err != nil || !s.right(got) {
			t.Errorf("the default model calls %s %q, %v", s.name, first(got), err)
		}
	}
}

func TestDetectorsFindTheBus(t *testing.T) {
	images, ok := testenv.SharedImages(t)
	r := newRepository(t)
	names := r.real("", "yolox-nano", "yolox-nano-batch", "deimv2-atto")
	e := r.synced(nil)
	if len(names) == 1 || !ok {
		return // the default model and the shipped images hold no bus; the colors test the way
	}
	bus, err := os.ReadFile(filepath.Join(images, "scenes", "bus.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		bus     float64
		persons int
	}{"yolox-nano": {0.85, 3}, "yolox-nano-batch": {0.85, 3}, "deimv2-atto": {0.4, 3}} {
		got, err := e.Predict(t.Context(), Request{Model: name, Image: bus})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		found := map[string]float64{}
		persons := 0
		answer, ok := got.Prediction.(*postprocess.Detected)
		if !ok {
			t.Fatalf("%s answers with %T", name, got.Prediction)
		}
		for _, box := range answer.Boxes {
			found[box.Label] = max(found[box.Label], box.Score)
			if box.Label == "person" {
				persons++
			}
		}
		holdAgainst(t, name, answer.Boxes)
		if found["bus"] < want.bus || persons < want.persons {
			t.Errorf("%s finds the bus with %.2f and %d persons; want %.2f and %d", name, found["bus"], persons,
				want.bus, want.persons)
		}
	}
}

func TestStatusShowsInputsAndOutputs(t *testing.T) {
	r := newRepository(t)
	r.real("")
	s := r.synced(nil).Models()[0]
	if s.Name != "efficientnet-lite0" || s.State != Ready || !s.Default || s.Task != repository.Classification ||
		s.Input.Width != 224 || s.Input.Layout != "nchw" || len(s.Inputs) != 1 || len(s.Outputs) != 1 ||
		len(s.Labels) != 1000 || s.Device != "cpu" || s.MaxBatch != 1 || s.MaxQueue != 256 {
		s.Labels = nil
		t.Errorf("status %+v", s)
	}
}
