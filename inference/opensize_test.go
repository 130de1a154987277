package inference

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
	"fovea/postprocess"
)

// addModel writes a model as version 1.
func (r *testRepository) addModel(name string, m *onnxwriter.Model) {
	r.t.Helper()
	r.write(filepath.Join(name, "1", "model.onnx"), m.Bytes())
}

// meanOf is a classifier of images of any size: the means of the channels, times ten, are the logits. The dimensions are those
// of the image, whose channels come last if that is a 3.
func meanOf(t onnxwriter.Type, dims ...any) *onnxwriter.Model {
	m, axes := &onnxwriter.Model{}, []int{-2, -1}
	if dims[len(dims)-1] == 3 {
		axes = []int{-3, -2}
	}
	m.Input("image", t, dims...)
	m.Node("Cast", "x", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "image")
	m.Floats("ten", []float32{10})
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": axes, "keepdims": 0}, "x")
	m.Node("Mul", "wide", nil, "mean", "ten")
	m.Node("Cast", "logits", onnxwriter.Attributes{"to": int(t)}, "wide")
	m.Output("logits", t, slices.Repeat([]any{"?"}, len(dims)-2)...)
	m.Node("SequenceConstruct", "unread", nil, "x")
	m.SequenceOutput("unread", onnxwriter.Float)
	return m
}

// TestEveryImageHasItsOwnInputSize sends images of different sizes at once to models of every kind of open input.
func TestEveryImageHasItsOwnInputSize(t *testing.T) {
	r := newRepository(t)
	const text = "task: classification\nlabels: labels.txt\noutput: {decode: softmax, top_k: 3}\ninstances: [{device: cpu, count: 2}]\ninput: {scale: 0.00392156862745098, "
	models := map[string]struct {
		input string
		dtype onnxwriter.Type
		dims  []any
	}{
		"none":       {"resize: none", onnxwriter.Float, []any{"n", 3, "h", "w"}},
		"one":        {"resize: none, stride: 32, width: 256, height: 256", onnxwriter.Float, []any{1, 3, "h", "w"}},
		"unbatched":  {"resize: none", onnxwriter.Float, []any{3, "h", "w"}},
		"last":       {"resize: none", onnxwriter.Float16, []any{"h", "w", 3}},
		"fit":        {"resize: fit, shortest_edge: 40, longest_edge: 100", onnxwriter.Float, []any{"n", 3, "h", "w"}},
		"rectangle":  {"resize: letterbox, width: 96, height: 64, stride: 32", onnxwriter.Float16, []any{"n", 3, "h", "w"}},
		"fixed size": {"resize: letterbox, width: 96, height: 64", onnxwriter.Float, []any{3, "h", "w"}},
	}
	for name, m := range models {
		name = strings.ReplaceAll(name, " ", "-")
		r.define(name, text+m.input+"}\n")
		r.addModel(name, meanOf(m.dtype, m.dims...))
	}
	e := r.synced(nil)
	var wg sync.WaitGroup
	for worker := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(worker, 3))
			for range 25 {
				w, h := 1+rng.IntN(300), 1+rng.IntN(300)
				for want, c := range map[string]color.Color{"red": red, "green": green, "blue": blue} {
					for name := range models {
						name = strings.ReplaceAll(name, " ", "-")
						if got, err := e.Predict(t.Context(), Request{Model: name, Image: plain(t, c, w, h)}); first(got) != want {
							t.Errorf("%s: %d×%d is %q, %v; want %q", name, w, h, first(got), err, want)
						}
					}
				}
			}
		})
	}
	wg.Wait()
	if _, err := e.Predict(t.Context(), Request{Model: "none", Row: make([]byte, 12)}); err == nil || apierror.From(err).Code != apierror.Malformed {
		t.Errorf("a row was accepted: %v", err)
	}
	atRest(t, e)
}

// wholeBox is a detector whose only box is the whole input, divided by the input "scale_factor" of shape [1,2] or [2] if there
// is one.
func wholeBox(scale []any, image ...any) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, image...)
	m.Ints("sides", []int64{-2, -1}, 2)
	m.Ints("flip", []int64{1, 0}, 2)
	m.Ints("boxes_shape", []int64{-1, 4}, 2)
	m.Floats("origin", []float32{0, 0}, 2)
	m.Node("Shape", "shape", nil, "image")
	m.Node("Gather", "hw", nil, "shape", "sides")
	m.Node("Cast", "size", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "hw")
	if scale != nil {
		m.Input("scale_factor", onnxwriter.Float, scale...)
		m.Ints("two", []int64{2}, 1)
		m.Node("Reshape", "scale", nil, "scale_factor", "two")
		m.Node("Div", "scaled", nil, "size", "scale")
	} else {
		m.Node("Identity", "scaled", nil, "size")
	}
	m.Node("Gather", "wh", nil, "scaled", "flip")
	m.Node("Concat", "flat", onnxwriter.Attributes{"axis": 0}, "origin", "wh")
	m.Node("Reshape", "boxes", nil, "flat", "boxes_shape")
	m.Floats("score", []float32{0.9}, 1)
	m.Node("Identity", "scores", nil, "score")
	m.Output("boxes", onnxwriter.Float, "n", 4)
	m.Output("scores", onnxwriter.Float, "n")
	return m
}

// TestBoxesOfOpenSizes maps the box of the whole input back to the image: what is padding lies outside and is cut.
func TestBoxesOfOpenSizes(t *testing.T) {
	r := newRepository(t)
	text := func(space, input string) string {
		return "task: detection\noutput: {decode: boxes, boxes: boxes, scores: scores, box_space: " + space + "}\ninput: {" + input + "}\n"
	}
	const scale = ", extra: [{name: scale_factor, value: scale_factor_hw}]"
	for name, m := range map[string]struct {
		definition string
		model      *onnxwriter.Model
	}{
		"torchvision": {text("input", "resize: none"), wholeBox(nil, 3, "h", "w")},
		"rectangle":   {text("input", "resize: letterbox, width: 64, height: 64, stride: 32"), wholeBox(nil, "n", 3, "h", "w")},
		"fit":         {text("input", "resize: fit, shortest_edge: 80, stride: 32"), wholeBox(nil, "n", 3, "h", "w")},
		"paddle":      {text("original", "resize: stretch"+scale), wholeBox([]any{1, 2}, 1, 3, 48, 64)},
		"paddle-open": {text("original", "resize: fit, shortest_edge: 60"+scale), wholeBox([]any{2}, "n", 3, "h", "w")},
	} {
		r.define(name, m.definition)
		r.addModel(name, m.model)
	}
	e := r.synced(nil)
	for _, size := range [][2]int{{64, 48}, {90, 130}, {10, 10}, {333, 100}} {
		for name := range e.models {
			got, err := e.Predict(t.Context(), Request{Model: name, Image: plain(t, red, size[0], size[1])})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			boxes := got.Prediction.(*postprocess.Detected).Boxes
			if len(boxes) != 1 || boxes[0].X1 != 0 || boxes[0].Y1 != 0 ||
				math.Abs(boxes[0].X2-float64(size[0])) > 1e-3 || math.Abs(boxes[0].Y2-float64(size[1])) > 1e-3 {
				t.Errorf("%s: the box of an image of %v is %+v", name, size, boxes)
			}
		}
	}
}

// gridOf is a detector in YOLO's layout [batch,4+classes,n]: of each cell of 32×32 pixels the brightest red, green and blue are
// cx, cy and w, then again h and the scores of two classes.
func gridOf() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("images", onnxwriter.Float, "batch", 3, "height", "width")
	m.Ints("shape", []int64{0, 3, -1}, 3)
	m.Node("MaxPool", "pooled", onnxwriter.Attributes{"kernel_shape": []int{32, 32}, "strides": []int{32, 32}}, "images")
	m.Node("Reshape", "grid", nil, "pooled", "shape")
	m.Node("Concat", "output0", onnxwriter.Attributes{"axis": 1}, "grid", "grid")
	m.Output("output0", onnxwriter.Float, "batch", 6, "anchors")
	return m
}

// TestTheNumberOfBoxesDependsOnTheSize counts the cells of a minimal rectangle, all of which are boxes.
func TestTheNumberOfBoxesDependsOnTheSize(t *testing.T) {
	r := newRepository(t)
	r.define("cells", "task: detection\ninput: {resize: letterbox, width: 320, height: 320, stride: 32, place: top_left, fill: 255, scale: 0.00392156862745098}\n"+
		"output: {decode: yolo, nms: none, max_boxes: 1000}\n")
	r.addModel("cells", gridOf())
	e := r.synced(nil)
	for _, c := range []struct{ w, h, want int }{{640, 640, 100}, {640, 480, 80}, {480, 640, 80}, {640, 60, 10}, {100, 1000, 10}, {320, 320, 100}} {
		got, err := e.Predict(t.Context(), Request{Image: plain(t, color.White, c.w, c.h)})
		if err != nil {
			t.Errorf("%d×%d: %v", c.w, c.h, err)
		} else if boxes := got.Prediction.(*postprocess.Detected).Boxes; len(boxes) != c.want {
			t.Errorf("%d×%d: %d boxes, want %d", c.w, c.h, len(boxes), c.want)
		}
	}
}

// fadingPNG is red where alpha is high: in its right half.
func fadingPNG(t *testing.T) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		img.SetNRGBA(i%8, i/8, color.NRGBA{R: 255, G: 255, B: 255, A: byte(255 * (i % 8 / 4))})
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFourChannelsReachTheModel(t *testing.T) {
	r := newRepository(t)
	for name, dims := range map[string][]any{"batched": {"n", 4, 8, 8}, "unbatched": {4, 8, 8}} {
		r.define(name, "task: classification\ninput: {scale: 0.00392156862745098}\noutput: {decode: softmax, top_k: 4}\n")
		r.addModel(name, meanOf(onnxwriter.Float, dims...))
	}
	e := r.synced(nil)
	for name := range e.models {
		for what, c := range map[string]struct {
			image []byte
			want  float64 // the probability of the channel of alpha
		}{
			"half transparent": {fadingPNG(t), math.Exp(-5) / (3 + math.Exp(-5))},
			"opaque":           {plain(t, color.White, 8, 8), 0.25},
		} {
			got, err := e.Predict(t.Context(), Request{Model: name, Image: c.image})
			if err != nil {
				t.Fatal(err)
			}
			for _, class := range got.Prediction.(*postprocess.Classified).Top {
				if class.Class == 3 && math.Abs(class.Score-c.want) > 1e-4 {
					t.Errorf("%s, %s: alpha has %v, want %v", name, what, class.Score, c.want)
				}
			}
		}
	}
}

// blind is a model that fails if the sum of the image is below a number, as detectors do that find nothing.
func blind(below float32) *onnxwriter.Model {
	m := meanOf(onnxwriter.Float, 1, 3, 8, 8)
	m.Ints("none", []int64{0}, 1)
	m.Floats("below", []float32{below})
	m.Ints("one", []int64{1}, 1)
	m.Node("ReduceSum", "sum", onnxwriter.Attributes{"keepdims": 0}, "x")
	m.Node("Greater", "seen", nil, "sum", "below")
	m.Node("Reshape", "seens", nil, "seen", "one")
	m.Node("NonZero", "found", nil, "seens")
	m.Ints("shape", []int64{1, 1}, 2)
	m.Node("Reshape", "index", nil, "found", "shape")
	m.Node("Cast", "offset", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "index")
	m.Node("Add", "answer", nil, "logits", "offset")
	m.Outputs = nil
	m.Output("answer", onnxwriter.Float, 1, 3)
	return m
}

// TestModelsThatFailWhenTheyFindNothing load with a warning, and say so for an image in which they find nothing.
func TestModelsThatFailWhenTheyFindNothing(t *testing.T) {
	r := newRepository(t).define("blind", colors)
	r.addModel("blind", blind(1))
	e := r.synced(nil)
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, green, 20, 10)}); first(got) != "green" {
		t.Errorf("a green image is %q, %v", first(got), err)
	}
	_, err := e.Predict(t.Context(), Request{Image: plain(t, color.Black, 20, 10)})
	api := apierror.From(err)
	if api == nil || api.Code != apierror.Internal || !strings.Contains(api.Message, "the model failed on this image") ||
		!strings.Contains(api.Message, "(Reshape): The input tensor cannot be reshaped") || strings.Contains(api.Message, r.dir) {
		t.Errorf("a black image: %v", err)
	}
	if got, err := e.Predict(t.Context(), Request{Image: plain(t, blue, 20, 10)}); first(got) != "blue" {
		t.Errorf("a blue image after a failed run is %q, %v", first(got), err)
	}
	warnings := e.models["blind"].served[0].warnings
	if len(warnings) != 1 || !strings.Contains(warnings[0], "a trial run with a synthetic image failed") {
		t.Errorf("the warnings are %q", warnings)
	}
	atRest(t, e)
}

// TestModelsThatAlwaysFail are not served.
func TestModelsThatAlwaysFail(t *testing.T) {
	r := newRepository(t).define("blind", colors)
	r.addModel("blind", blind(1e9))
	err := r.engine(nil).Sync(t.Context())
	if failed, ok := errors.AsType[*SyncError](err); !ok || !strings.Contains(failed.Error(), "running Reshape node") {
		t.Errorf("%v", err)
	}
}
