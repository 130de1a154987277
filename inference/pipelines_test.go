package inference

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
	"fovea/postprocess"
)

// finder is a detector of an image of 60×20 pixels: three boxes of 20×20, of the classes left, middle and right, whose scores are the red, green
// and blue of the mean color of the image, and so depend on it.
func finder() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 20, 60)
	m.Floats("boxes0", []float32{0, 0, 20, 20, 20, 0, 40, 20, 40, 0, 60, 20}, 1, 3, 4)
	m.Floats("classes0", []float32{0, 1, 2}, 1, 3, 1)
	m.Floats("scores0", []float32{0.9, 0.8, 0.7}, 1, 3, 1)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{1, 2, 3}, "keepdims": 1}, "image")
	m.Floats("zero", []float32{0}, 1)
	m.Node("Mul", "none4", nil, "mean", "zero")
	m.Ints("squeezed", []int64{-1, 1, 1}, 3)
	m.Node("Reshape", "none", nil, "none4", "squeezed")
	m.Node("Add", "boxes", nil, "boxes0", "none")
	m.Node("Add", "classes", nil, "classes0", "none")
	m.Node("Add", "scores", nil, "scores0", "none")
	m.Node("Concat", "rows", onnxwriter.Attributes{"axis": 2}, "boxes", "scores", "classes")
	m.Output("rows", onnxwriter.Float, "n", 3, 6)
	return m
}

const finderDefinition = `task: detection
labels: labels.txt
input: {width: 60, height: 20, scale: 0.00392156862745098}
output: {decode: rows, score_threshold: 0.3}
`

// addFinder adds the detector.
func (r *testRepository) addFinder(name string) *testRepository {
	r.t.Helper()
	r.define(name, finderDefinition)
	r.write(filepath.Join(name, "labels.txt"), []byte("left\nmiddle\nright\n"))
	r.write(filepath.Join(name, "1", "model.onnx"), finder().Bytes())
	return r
}

// flag is a PNG of three stripes from the left to the right.
func flag(t testing.TB, w, h int, stripes ...color.Color) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, c := range stripes {
		draw.Draw(m, image.Rect(i*w/len(stripes), 0, (i+1)*w/len(stripes), h), image.NewUniform(c), image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const flagPipeline = `task: pipeline
steps:
  - {name: find, model: finder}
  - {name: color, model: colors, of: find, parameters: {top_k: 1}}
`

func answerOf(t testing.TB, r *Response, err error) string {
	t.Helper()
	if err != nil {
		return err.Error()
	}
	data, err := json.Marshal(r.Prediction)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	data, _ = json.Marshal(v)
	return string(data)
}

// colorsOf lists the colors of a flag's boxes.
func colorsOf(t testing.TB, r *Response) string {
	t.Helper()
	var list []string
	step := r.Prediction.(*postprocess.Piped).Steps[0]
	for i, b := range step.Prediction.(*postprocess.Detected).Boxes {
		list = append(list, b.Label+" "+step.Objects[i].Find("color").(*postprocess.Classified).Top[0].Label)
	}
	return strings.Join(list, ", ")
}

func flags(t testing.TB) *testRepository {
	return newRepository(t).addFinder("finder").define("colors", colors).add("colors", 1, "colors").define("flag", flagPipeline)
}

func TestPipelineClassifiesWhatItFinds(t *testing.T) {
	e := flags(t).synced(nil)
	if got := states(e); got != "colors/1:ready finder/1:ready flag/1:ready" {
		t.Fatal(got)
	}
	for name, test := range map[string]struct {
		image []byte
		want  string
	}{
		"at the model's size":     {flag(t, 60, 20, red, green, blue), "left red, middle green, right blue"},
		"larger than the model's": {flag(t, 600, 300, blue, blue, red), "left blue, middle blue, right red"},
		"smaller":                 {flag(t, 9, 5, green, blue, red), "left green, middle blue, right red"},
	} {
		response, err := e.Predict(t.Context(), Request{Model: "flag", Image: test.image})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := colorsOf(t, response); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	atRest(t, e)
}

func TestPipelineAnswersAsJSON(t *testing.T) {
	e := flags(t).synced(nil)
	response, err := e.Predict(t.Context(), Request{Model: "flag", Image: flag(t, 120, 40, red, green, blue)})
	if response == nil {
		t.Fatal(err)
	}
	got := answerOf(t, response, err)
	for _, want := range []string{`{"find":{"boxes":[{"class":0,"color":{"top":[{"class":0,"label":"red","score":0.9`,
		`"label":"left","score":0.899`, `"x1":40,"x2":80,"y1":0,"y2":40}`, `"height":40,"width":120}}`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if response.Version != "1" || response.Device != "cpu" || len(response.Steps) != 2 || response.Steps[0].Name != "find" || response.Steps[1].Images != 3 ||
		response.Steps[1].Infer <= 0 || response.Steps[1].Total < response.Steps[1].Infer || response.Timing.Infer != response.Steps[0].Infer+response.Steps[1].Infer {
		t.Errorf("%+v", response)
	}
}

// TestCropsFollowEveryOrientation compares the crops of an image that is stored turned with those of the same one upright.
func TestCropsFollowEveryOrientation(t *testing.T) {
	e := flags(t).synced(nil)
	for orientation := 1; orientation <= 8; orientation++ {
		stored := storedTurned(t, flag(t, 60, 20, red, green, blue), orientation)
		response, err := e.Predict(t.Context(), Request{Model: "flag", Image: stored})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := colorsOf(t, response), "left red, middle green, right blue"; got != want {
			t.Errorf("orientation %d: %s, want %s", orientation, got, want)
		}
	}
}

// storedTurned stores a PNG so that its EXIF orientation turns it upright.
func storedTurned(t *testing.T, data []byte, orientation int) []byte {
	t.Helper()
	upright, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	w, h := upright.Bounds().Dx(), upright.Bounds().Dy()
	size := image.Pt(w, h)
	if orientation >= 5 {
		size = image.Pt(h, w)
	}
	stored := image.NewRGBA(image.Rectangle{Max: size})
	for y := range h {
		for x := range w {
			to := [...]image.Point{{x, y}, {w - 1 - x, y}, {w - 1 - x, h - 1 - y}, {x, h - 1 - y}, {y, x}, {y, w - 1 - x}, {h - 1 - y, w - 1 - x},
				{h - 1 - y, x}}[orientation-1] // EXIF 2.32, tag 0x0112
			stored.Set(to.X, to.Y, upright.At(x, y))
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, stored); err != nil {
		t.Fatal(err)
	}
	const header = 8 + 25 // the signature and IHDR
	tiff := []byte{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, byte(orientation), 0, 0, 0, 0, 0, 0}
	chunk := append([]byte("eXIf"), tiff...)
	exif := binary.BigEndian.AppendUint32(nil, uint32(len(tiff)))
	exif = binary.BigEndian.AppendUint32(append(exif, chunk...), crc32.ChecksumIEEE(chunk))
	return slices.Concat(out.Bytes()[:header], exif, out.Bytes()[header:])
}

func TestEnsembleAnswersOnce(t *testing.T) {
	r := flags(t).define("both", "task: pipeline\nsteps: [{model: colors}, {name: again, model: colors, parameters: {top_k: 2}}, {model: finder}]\n")
	e := r.synced(nil)
	img := plain(t, green, 20, 20)
	response, err := e.Predict(t.Context(), Request{Model: "both", Image: img})
	if err != nil {
		t.Fatal(err)
	}
	piped := response.Prediction.(*postprocess.Piped)
	one, two := piped.Find("colors").(*postprocess.Classified), piped.Find("again").(*postprocess.Classified)
	if len(one.Top) != 3 || len(two.Top) != 2 || one.Top[0] != two.Top[0] || one.Top[0].Label != "green" || piped.Find("finder").(*postprocess.Detected).Len() != 3 {
		t.Errorf("%s", answerOf(t, response, err))
	}
	alone, err := e.Predict(t.Context(), Request{Model: "colors", Image: img})
	if err != nil || alone.Prediction.(*postprocess.Classified).Top[0] != one.Top[0] {
		t.Errorf("the model alone answers %s", answerOf(t, alone, err))
	}
}

// TestObjectsOfObjectsAreInPixelsOfTheImage detects in crops, in those of a pipeline in a pipeline, and in crops that margins overlap.
func TestObjectsOfObjectsAreInPixelsOfTheImage(t *testing.T) {
	r := flags(t).define("again", "task: pipeline\nsteps: [{name: a, model: finder}, {name: b, model: finder, of: a, labels: [middle]}, {name: c, model: colors, of: b}]\n").
		define("nested", "task: pipeline\nsteps: [{name: a, model: finder}, {name: inner, model: flag, of: a, labels: [right]}]\n")
	e := r.synced(nil)
	img := flag(t, 180, 60, red, red, red, green, blue, red, blue, green, red)
	response, err := e.Predict(t.Context(), Request{Model: "again", Image: img})
	if err != nil {
		t.Fatal(err)
	}
	a := response.Prediction.(*postprocess.Piped).Steps[0]
	if len(a.Objects) != 3 || a.Objects[0] != nil || a.Objects[1] == nil || a.Objects[2] != nil {
		t.Fatalf("only the middle is to be cropped: %s", answerOf(t, response, err))
	}
	b := a.Objects[1].Steps[0]
	for i, want := range []string{"60–80 green", "80–100 blue", "100–120 red"} {
		box := b.Prediction.(*postprocess.Detected).Boxes[i]
		if got := fmt.Sprintf("%.0f–%.0f %s", box.X1, box.X2, b.Objects[i].Find("c").(*postprocess.Classified).Top[0].Label); got != want || box.Y2 != 60 {
			t.Errorf("%s, want %s", got, want)
		}
	}
	response, err = e.Predict(t.Context(), Request{Model: "nested", Image: img})
	if err != nil {
		t.Fatal(err)
	}
	inner := response.Prediction.(*postprocess.Piped).Steps[0].Objects[2].Steps[0].Prediction.(*postprocess.Piped)
	if got := colorsOf(t, &Response{Prediction: inner}); got != "left blue, middle green, right red" {
		t.Errorf("the pipeline in the pipeline sees %s", got)
	}
	if x := inner.Find("find").(*postprocess.Detected).Boxes[0].X1; x != 120 {
		t.Errorf("its boxes begin at %v", x)
	}
	if names := fmt.Sprint(response.Steps[0].Name, " ", response.Steps[1].Name, " ", response.Steps[2].Name); names != "a inner.find inner.color" {
		t.Errorf("steps %s", names)
	}
}

func TestMinScoreDropsObjects(t *testing.T) {
	r := flags(t).define("sure", flagPipeline+"    min_score: 0.99\n")
	r.define("sure", strings.Replace(flagPipeline, "of: find,", "of: find, min_score: 0.9,", 1))
	e := r.synced(nil)
	gray := color.RGBA{R: 80, G: 80, B: 80, A: 255}
	response, err := e.Predict(t.Context(), Request{Model: "sure", Image: flag(t, 60, 20, red, gray, blue)})
	if err != nil {
		t.Fatal(err)
	}
	if got := colorsOf(t, response); got != "left red, right blue" {
		t.Errorf("kept %s", got)
	}
}

func TestPipelineErrorsNameTheStep(t *testing.T) {
	r := flags(t).define("few", flagPipeline+"max_crops: 2\n")
	e := r.synced(func(c *Config) { c.MaxPixels = 100_000 })
	good := flag(t, 60, 20, red, green, blue)
	for name, test := range map[string]struct {
		request Request
		want    apierror.Code
		says    string
	}{
		"too many crops":              {Request{Model: "few", Image: good}, apierror.ImageTooLarge, "step color: the image has more than 2 crops"},
		"an image that is none":       {Request{Model: "flag", Image: []byte("hello, world")}, apierror.UnsupportedFormat, ""},
		"a truncated image":           {Request{Model: "flag", Image: good[:len(good)/2]}, apierror.Undecodable, ""},
		"too many pixels":             {Request{Model: "flag", Image: plain(t, red, 400, 400)}, apierror.ImageTooLarge, ""},
		"a row":                       {Request{Model: "flag", Row: []byte{0}}, apierror.InvalidParameter, "not rows"},
		"a parameter":                 {Request{Model: "flag", Image: good, Params: postprocess.Params{TopK: 2}}, apierror.InvalidParameter, "definition has those of its steps"},
		"a version that it never has": {Request{Model: "flag", Version: "2", Image: good}, apierror.ModelNotFound, "available: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := e.Predict(t.Context(), test.request)
			if f := apierror.From(err); f == nil || f.Code != test.want || !strings.Contains(f.Message, test.says) {
				t.Errorf("got %v, want %s with %q", err, test.want, test.says)
			}
		})
	}
	if _, err := e.Open(t.Context(), "flag", ""); apierror.From(err) == nil || !strings.Contains(err.Error(), "POST /v1/models/flag/predict") {
		t.Errorf("opened for tensors: %v", err)
	}
	until(t, "the end of the runs of crops whose image had failed", func() bool {
		for _, m := range e.models {
			if len(m.served) > 0 && m.served[0].batcher.InUse() != nil {
				return false
			}
		}
		return true
	})
	atRest(t, e)
}

// TestFailingStepIsTheErrorOfTheImage has a step's model fail on one of the crops.
func TestFailingStepIsTheErrorOfTheImage(t *testing.T) {
	e := flags(t).synced(nil)
	e.models["colors"].served[0].decoder = badDecoder{}
	_, err := e.Predict(t.Context(), Request{Model: "flag", Image: flag(t, 60, 20, red, green, blue)})
	if f := apierror.From(err); f == nil || f.Code != apierror.Internal || !strings.HasPrefix(f.Message, "step color: ") {
		t.Errorf("got %v", err)
	}
	until(t, "the end of the other crops' runs", func() bool { return e.models["colors"].served[0].batcher.InUse() == nil })
	atRest(t, e)
}

func TestPipelineEndsWithItsRequest(t *testing.T) {
	e := flags(t).synced(nil)
	entered, open := hold(e.models["colors"].served[0], nil)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := e.Predict(ctx, Request{Model: "flag", Image: flag(t, 60, 20, red, green, blue)})
		result <- err
	}()
	<-entered
	cancel()
	err := <-result
	if f := apierror.From(err); f == nil || f.Code != apierror.Canceled || !strings.HasPrefix(f.Message, "step color: ") {
		t.Errorf("got %v", err)
	}
	close(open)
	until(t, "the end of the run", func() bool { return e.models["colors"].served[0].batcher.InUse() == nil })
	atRest(t, e)
}

// TestCropsWaitWhileTheirModelIsFull has more crops in flight than the queue of their model takes.
func TestCropsWaitWhileTheirModelIsFull(t *testing.T) {
	r := flags(t).define("colors", colors+"batching: {queue: 1}\n")
	e := r.synced(nil)
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			response, err := e.Predict(t.Context(), Request{Model: "flag", Image: flag(t, 60, 20, red, green, blue)})
			if err != nil {
				t.Error(err)
			} else if got := colorsOf(t, response); got != "left red, middle green, right blue" {
				t.Error(got)
			}
		})
	}
	requests.Wait()
	atRest(t, e)
}

func TestPipelineQueueIsBounded(t *testing.T) {
	e := flags(t).define("flag", flagPipeline+"batching: {queue: 1}\n").synced(nil)
	entered, open := hold(e.models["finder"].served[0], nil)
	result := make(chan error)
	img := flag(t, 60, 20, red, green, blue)
	go func() {
		_, err := e.Predict(t.Context(), Request{Model: "flag", Image: img})
		result <- err
	}()
	<-entered
	if _, err := e.Predict(t.Context(), Request{Model: "flag", Image: img}); apierror.From(err) == nil || apierror.From(err).Code != apierror.QueueFull {
		t.Errorf("got %v", err)
	}
	close(open)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestPipelineIsReadyWhenItsModelsAre adds and removes models under a pipeline.
func TestPipelineIsReadyWhenItsModelsAre(t *testing.T) {
	r := newRepository(t).addFinder("finder").define("flag", flagPipeline)
	e := r.engine(nil)
	err := e.Sync(t.Context())
	const missing = "step color: the repository has no model colors"
	if err == nil || !strings.Contains(err.Error(), "model flag version 1: "+missing) {
		t.Fatalf("a pipeline without a model: %v", err)
	}
	if s := e.Models()[1]; s.State != Failed || s.Error != missing || len(s.Steps) != 2 {
		t.Errorf("%+v", s)
	}
	img := flag(t, 60, 20, red, green, blue)
	predict := func() error {
		_, err := e.Predict(t.Context(), Request{Model: "flag", Image: img})
		return err
	}
	if f := apierror.From(predict()); f == nil || f.Code != apierror.NotReady || !strings.Contains(f.Message, missing) {
		t.Errorf("got %v", f)
	}
	r.define("colors", colors).add("colors", 1, "colors")
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := predict(); err != nil {
		t.Errorf("with its models: %v", err)
	}
	r.remove("colors")
	_ = e.Sync(t.Context())
	if f := apierror.From(predict()); f == nil || f.Code != apierror.NotReady {
		t.Errorf("without its model again: %v", f)
	}
	r.remove("flag")
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := apierror.From(predict()); f == nil || f.Code != apierror.ModelNotFound {
		t.Errorf("after it was removed: %v", f)
	}
}

func TestPipelinesThatAreRefused(t *testing.T) {
	const noTask = "task: none\n"
	for name, test := range map[string]struct {
		definition, want string
	}{
		"objects of a model that finds none":  {"steps: [{name: a, model: colors}, {name: b, model: finder, of: a}]", "step b: of: step a finds no objects: the task of model colors is classification"},
		"corners of upright boxes":            {"steps: [{name: a, model: finder}, {name: b, model: colors, of: a, crop: {by: quad}}]", "step b: crop.by: objects of model finder have no corners: its task is detection"},
		"points of boxes":                     {"steps: [{name: a, model: finder}, {name: b, model: colors, of: a, crop: {by: points, template: arcface}}]", "step b: crop.by: objects of model finder have no points"},
		"a label that the model lacks":        {"steps: [{name: a, model: finder}, {name: b, model: colors, of: a, labels: [lft]}]", `step b: labels: "lft" is no label of model finder`},
		"a parameter of another task":         {"steps: [{name: a, model: finder, parameters: {top_k: 1}}]", "step a: parameters.top_k: does not apply to model finder, whose task is detection"},
		"a model without a task":              {"steps: [{name: a, model: tensors}]", "step a: model tensors has no task"},
		"a score that no model gives":         {"steps: [{name: a, model: finder}, {name: b, model: finder, of: a, min_score: 0.5}]", "step b: min_score: model finder gives no class"},
		"a model that does not load":          {"steps: [{name: a, model: broken}]", "step a: model broken is not ready: version 1: "},
		"two steps at once":                   {"steps: [{name: a, model: nothing}, {name: b, model: nowhere}]", "step a: the repository has no model nothing\nstep b: the repository has no model nowhere"},
		"itself, by another":                  {"steps: [{name: a, model: flag}, {name: b, model: other}]", "pipelines use each other in a circle: refused, other, refused"},
		"one on a circle":                     {"steps: [{name: a, model: one}]", "step a: pipeline one: pipelines use each other in a circle: one, two, one"},
		"turned by what does not classify":    {"steps: [{name: a, model: finder}, {name: b, model: finder, of: a}, {name: c, model: colors, of: a, turn: {step: b, label: x}}]", "step c: turn.step: step b does not classify"},
		"turned by a label that it lacks":     {"steps: [{name: a, model: finder}, {name: b, model: colors, of: a}, {name: c, model: colors, of: a, turn: {step: b, label: '180'}}]", `step c: turn.label: "180" is no label of model colors, which has red, green, blue`},
		"turned by labels that are no angles": {"steps: [{name: a, model: colors}, {name: b, model: finder, turn: {step: a, by: label}}]", `step b: turn.by: the label "red" of model colors is no angle`},
		"turned by what finds objects":        {"steps: [{name: a, model: finder}, {name: b, model: finder, turn: {step: a, by: label}}]", "step b: turn.step: step a does not classify"},
		"too deep":                            {"steps: [{name: a, model: finder}, {name: b, model: deep, of: a}]", "step b: is 9 steps below the image; the limit is 8"},
		"objects of a pipeline":               {"steps: [{name: a, model: flag}, {name: b, model: colors, of: a}]", "step b: of: step a is a pipeline, whose objects have the steps of that"},
		"parameters of a pipeline":            {"steps: [{name: a, model: flag, parameters: {top_k: 2}}]", "step a: parameters: model flag is a pipeline, whose steps have their own"},
	} {
		t.Run(name, func(t *testing.T) {
			r := flags(t).define("tensors", noTask).add("tensors", 1, "colors").define("broken", colors).
				define("refused", "task: pipeline\n"+test.definition+"\n").
				define("other", "task: pipeline\nsteps: [{name: a, model: refused}]\n").
				define("one", "task: pipeline\nsteps: [{name: a, model: two}]\n").
				define("two", "task: pipeline\nsteps: [{name: a, model: one}]\n")
			r.write("broken/1/model.onnx", []byte("nothing"))
			deep := "task: pipeline\nsteps:\n- {name: s0, model: finder}\n"
			for i := range 7 {
				deep += fmt.Sprintf("- {name: s%d, model: finder, of: s%d}\n", i+1, i)
			}
			r.define("deep", deep)
			var log testenv.Buffer
			e := r.engine(nil)
			e.log = slog.New(slog.NewTextHandler(&log, nil))
			err := e.Sync(t.Context())
			if err == nil || !strings.Contains(err.Error(), "model refused version 1: "+test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
			for _, s := range e.Models() {
				if s.Name == "refused" && (s.State != Failed || !strings.HasPrefix(s.Error, test.want)) {
					t.Errorf("%+v", s)
				}
			}
			if !strings.Contains(log.String(), "pipeline not ready") {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

// TestPipelineServesWhileItsModelsAreReplaced predicts while versions come and go.
func TestPipelineServesWhileItsModelsAreReplaced(t *testing.T) {
	r := flags(t)
	e := r.synced(nil)
	ctx, stop := context.WithCancel(t.Context())
	var requests sync.WaitGroup
	for range 4 {
		requests.Go(func() {
			for ctx.Err() == nil {
				response, err := e.Predict(context.WithoutCancel(ctx), Request{Model: "flag", Image: flag(t, 60, 20, red, green, blue)})
				if err != nil {
					t.Error(err)
					return
				}
				if got := colorsOf(t, response); got != "left red, middle green, right blue" {
					t.Error(got)
				}
			}
		})
	}
	for version := 2; version <= 4; version++ {
		r.add("colors", version, "colors")
		if err := e.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	requests.Wait()
	atRest(t, e)
}

func TestRequiredPipeline(t *testing.T) {
	r := flags(t)
	e := r.engine(func(c *Config) { c.Models = []ModelConfig{{Name: "flag", Required: true}, {Name: "finder"}} })
	err := e.Sync(t.Context())
	failures, ok := errors.AsType[*SyncError](err)
	if !ok || len(failures.Required()) != 1 || !strings.Contains(err.Error(), "step color: inference.models does not have model colors") {
		t.Errorf("got %v", err)
	}
	// Its models are waited for, although they are not required themselves.
	e = r.engine(func(c *Config) {
		c.Models = []ModelConfig{{Name: "flag", Required: true}, {Name: "finder"}, {Name: "colors"}}
	})
	if err := e.StartSync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Await(t.Context(), true); err != nil || len(e.Ready()) > 0 {
		t.Errorf("awaited: %v, %v", err, e.Ready())
	}
	e = r.engine(func(c *Config) { c.Models = []ModelConfig{{Name: "flag", Required: true}, {Name: "finder"}} })
	_ = e.Sync(t.Context())
	if reasons := strings.Join(e.Ready(), "; "); !strings.Contains(reasons, "model flag: step color") {
		t.Errorf("ready: %s", reasons)
	}
}
