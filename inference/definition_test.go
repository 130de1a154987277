package inference

import (
	"context"
	"encoding/binary"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// made puts a model that a test has written into the repository.
func (r *testRepository) made(name, definition string, m *onnxwriter.Model) *testRepository {
	r.t.Helper()
	r.write(filepath.Join(name, "model.yaml"), []byte(definition))
	r.write(filepath.Join(name, "labels.txt"), []byte("cat\ndog\n"))
	r.write(filepath.Join(name, "1", "model.onnx"), m.Bytes())
	return r
}

// only is the one model that there is.
func only(t *testing.T, e *Engine) Status {
	t.Helper()
	list := e.Models()
	if len(list) != 1 {
		t.Fatalf("%d models", len(list))
	}
	return list[0]
}

// classifierOf is a model whose scores are op of ten times the means of red, green and blue.
func classifierOf(op string) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	m.Floats("ten", []float32{10})
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	m.Node("Mul", "logits", nil, "mean", "ten")
	m.Node(op, "scores", nil, "logits")
	m.Output("scores", onnxwriter.Float, "n", 3)
	return m
}

// constantOf is a model that gives the same numbers for every image, in outputs of the shapes [1,n,…].
func constantOf(outputs map[string][]float32, shapes map[string][]int) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, 1, 3, 64, 64)
	m.Floats("none", []float32{0})
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"keepdims": 0}, "image")
	m.Node("Mul", "zero", nil, "mean", "none")
	for name, values := range outputs {
		m.Floats(name+"_values", values, shapes[name]...)
		m.Node("Add", name, nil, name+"_values", "zero")
		dims := make([]any, len(shapes[name]))
		for i, d := range shapes[name] {
			dims[i] = d
		}
		m.Output(name, onnxwriter.Float, dims...)
	}
	return m
}

// boxModel gives two boxes as TensorFlow's Object Detection API does.
func boxModel() *onnxwriter.Model {
	return constantOf(map[string][]float32{"detection_boxes": {0.1, 0.2, 0.5, 0.9, 0.3, 0.3, 0.6, 0.7}, "detection_scores": {0.9, 0.8},
		"detection_classes": {1, 2}}, map[string][]int{"detection_boxes": {1, 2, 4}, "detection_scores": {1, 2}, "detection_classes": {1, 2}})
}

// cells is a grid of YOLOX in which every cell of an input of 64×64 holds the same.
func cells(row ...float32) *onnxwriter.Model {
	return constantOf(map[string][]float32{"grid": slices.Repeat(row, 84)}, map[string][]int{"grid": {1, 84, 7}})
}

// besidesConstant joins warnings without the one that a model always gives the same.
func besidesConstant(warnings []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(warnings), func(w string) bool { return strings.Contains(w, "was the same for each of 8") }), "\n")
}

func TestConstantModelIsAWarning(t *testing.T) {
	e := newRepository(t).made("m", "task: detection\noutput: {decode: yolox}", cells(0.5, 0.5, 1, -1, 0.9, 0.9, 0.1)).synced(nil)
	if w := only(t, e).Warnings; len(w) != 1 || besidesConstant(w) != "" {
		t.Errorf("got %q", w)
	}
}

// TestLoadFindsWrongDefinitions loads right and wrong definitions: those that are certainly wrong are not served, and those
// that may be wrong are served with a warning in the status and in the log.
func TestLoadFindsWrongDefinitions(t *testing.T) {
	const tf = "task: detection\nlabels: labels.txt\noutput: {decode: boxes, boxes: detection_boxes, scores: detection_scores, " +
		"classes: detection_classes, class_first: 1, "
	for name, c := range map[string]struct {
		definition string
		model      *onnxwriter.Model
		state      State
		say        string // in the error, or in the warning
	}{
		"softmax of logits":           {"task: classification\ninput: {scale: 0.00392}\noutput: {decode: softmax}", classifierOf("Identity"), Ready, ""},
		"softmax of probabilities":    {"task: classification\noutput: {decode: softmax}", classifierOf("Softmax"), Failed, "probabilities already"},
		"probabilities":               {"task: classification\noutput: {decode: probabilities}", classifierOf("Softmax"), Ready, ""},
		"probabilities that are none": {"task: classification\noutput: {decode: probabilities}", classifierOf("Identity"), Failed, "try output.decode: softmax"},
		"a raw grid":                  {"task: detection\noutput: {decode: yolox}", cells(0.5, 0.5, 1, -1, 0.9, 0.9, 0.1), Ready, ""},
		"a grid decoded already":      {"task: detection\noutput: {decode: yolox}", cells(32, 32, 40, 20, 0.9, 0.9, 0.1), Failed, "decoded already"},
		"y first":                     {tf + "box_space: unit, box_format: yxyx}", boxModel(), Ready, ""},
		"y first, read as x first":    {tf + "box_space: unit}", boxModel(), Ready, "puts y first; try output.box_format: yxyx"},
		"parts read as pixels":        {tf + "box_space: input, box_format: yxyx}", boxModel(), Ready, "box_space: unit"},
		"corners read as centers":     {tf + "box_space: unit, box_format: cxcywh}", boxModel(), Ready, "box_format: "},
	} {
		t.Run(name, func(t *testing.T) {
			e := newRepository(t).made("m", c.definition, c.model).engine(nil)
			err := e.Sync(t.Context())
			s := only(t, e)
			if s.State != c.state || (err != nil) != (c.state == Failed) {
				t.Fatalf("%s: %v", s.State, err)
			}
			said := besidesConstant(s.Warnings) + s.Error
			if c.say == "" && said != "" || !strings.Contains(said, c.say) {
				t.Errorf("got %q, want %q", said, c.say)
			}
		})
	}
}

func TestBoxesWithYFirst(t *testing.T) {
	e := newRepository(t).made("m", "task: detection\nlabels: labels.txt\noutput: {decode: boxes, boxes: detection_boxes, scores: detection_scores, "+
		"classes: detection_classes, class_first: 1, box_format: yxyx, box_space: unit}", boxModel()).synced(nil)
	r, err := e.Predict(t.Context(), Request{Image: plain(t, red, 100, 50)})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{0 cat 0.9 20 5 90 25} {1 dog 0.8 30 15 70 30}]"
	boxes := r.Prediction.(*postprocess.Detected).Boxes
	for i := range boxes {
		b := &boxes[i]
		for _, v := range []*float64{&b.Score, &b.X1, &b.Y1, &b.X2, &b.Y2} {
			*v = float64(int(*v*100+0.5)) / 100
		}
	}
	if got := fmt.Sprint(boxes); got != want {
		t.Errorf("boxes %s, want %s", got, want)
	}
}

func TestScoresOfZipMapAreRead(t *testing.T) {
	m := classifierOf("Softmax")
	m.Outputs = nil
	m.Node("ml.ZipMap", "probabilities", onnxwriter.Attributes{"classlabels_strings": []string{"a", "b", "c"}}, "scores")
	m.MapsOutput("probabilities", onnxwriter.String)
	for _, named := range []string{"", ", name: probabilities"} {
		definition := "task: classification\ninput: {scale: 0.00392156862745098}\nbatching: {max_size: 2}\noutput: {decode: probabilities" + named + "}"
		e := newRepository(t).made("m", definition, m).synced(nil)
		s := only(t, e)
		if s.State != Ready || len(s.Warnings) > 0 {
			t.Fatalf("%+v", s)
		}
		if out := s.Outputs[0]; out.DType != repository.Float32 || !slices.Equal(out.Shape, []int64{-1, 3}) {
			t.Errorf("%+v", out)
		}
		r, err := e.Predict(t.Context(), Request{Image: plain(t, green, 8, 8)})
		if err != nil || r.Prediction.(*postprocess.Classified).Top[0].Class != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// TestUnreadOutputsMayHaveAnyType adds outputs of types that are not read to a model, named in its definition and not.
func TestUnreadOutputsMayHaveAnyType(t *testing.T) {
	for name, add := range map[string]func(*onnxwriter.Model){
		"bool": func(m *onnxwriter.Model) {
			m.Node("Greater", "other", nil, "logits", "ten")
			m.Output("other", onnxwriter.Bool, "n", 3)
		},
		"float64 of an open shape": func(m *onnxwriter.Model) {
			m.Node("Cast", "other", onnxwriter.Attributes{"to": int(onnxwriter.Double)}, "image")
			m.Output("other", onnxwriter.Double, "a", "b", "c", "d")
		},
		"int8": func(m *onnxwriter.Model) {
			m.Node("Cast", "other", onnxwriter.Attributes{"to": int(onnxwriter.Int8)}, "logits")
			m.Output("other", onnxwriter.Int8, "n", 3)
		},
		"string": func(m *onnxwriter.Model) {
			m.Node("Cast", "other", onnxwriter.Attributes{"to": int(onnxwriter.String)}, "logits")
			m.Output("other", onnxwriter.String, "n", 3)
		},
		"sequence": func(m *onnxwriter.Model) {
			m.Node("SequenceConstruct", "other", nil, "logits")
			m.SequenceOutput("other", onnxwriter.Float)
		},
		"maps of scores that are an output, too": func(m *onnxwriter.Model) {
			m.Node("ml.ZipMap", "other", onnxwriter.Attributes{"classlabels_int64s": []int{0, 1, 2}}, "scores")
			m.MapsOutput("other", onnxwriter.Int64)
		},
		"no batch": func(m *onnxwriter.Model) {
			m.Node("ReduceMean", "other", onnxwriter.Attributes{"keepdims": 0}, "logits")
			m.Output("other", onnxwriter.Float)
		},
	} {
		for _, named := range []string{"", ", name: scores"} {
			t.Run(name+named, func(t *testing.T) {
				m := classifierOf("Identity")
				add(m)
				if named == "" && name == "no batch" {
					t.Skip("its shape is unknown, so that it might be what is read")
				}
				const definition = "task: classification\ninput: {scale: 0.00392156862745098}\nbatching: {max_size: 2}\noutput: {decode: softmax"
				e := newRepository(t).made("m", definition+named+"}", m).synced(nil)
				if s := only(t, e); s.State != Ready || len(s.Outputs) != 2 || len(s.Warnings) > 0 {
					t.Fatalf("%+v", s)
				}
				r, err := e.Predict(t.Context(), Request{Image: plain(t, green, 8, 8)})
				if err != nil || r.Prediction.(*postprocess.Classified).Top[0].Class != 1 {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
	}
}

func TestReadOutputOfUnsupportedTypeIsNamed(t *testing.T) {
	m := classifierOf("Identity")
	m.Node("Greater", "other", nil, "logits", "ten")
	m.Output("other", onnxwriter.Bool, "n", 3)
	e := newRepository(t).made("m", "task: classification\noutput: {decode: softmax, name: other}", m).engine(nil)
	err := e.Sync(t.Context())
	if err == nil || !strings.Contains(err.Error(), `output.name: model.onnx gives "other" the type bool; allowed: [float32 float16 float64]`) {
		t.Error(err)
	}
}

// brightness is a model of one channel that tells dark, middling and light images, whose input has a shape.
func brightness(dims ...any) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, dims...)
	axes := make([]int, len(dims)-1)
	for i := range axes {
		axes[i] = i + 1
	}
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": axes, "keepdims": 0}, "image")
	m.Ints("column", []int64{-1, 1}, 2)
	m.Node("Reshape", "means", nil, "mean", "column")
	m.Floats("weights", []float32{-10, 0, 10}, 1, 3)
	m.Floats("bias", []float32{3, 0, -7}, 3)
	m.Node("MatMul", "weighted", nil, "means", "weights")
	m.Node("Add", "logits", nil, "weighted", "bias")
	m.Output("logits", onnxwriter.Float, dims[0], 3)
	return m
}

func TestModelsOfOneChannelAreServed(t *testing.T) {
	for _, batch := range []any{1, "n"} {
		for name, c := range map[string]struct {
			color string
			model *onnxwriter.Model
		}{
			"channel first":               {"", brightness(batch, 1, 8, 8)},
			"channel last":                {"", brightness(batch, 8, 8, 1)},
			"an open channel, color gray": {", color: gray, width: 8, height: 8", brightness(batch, "c", "h", "w")},
			"no dimension for it":         {", color: gray", brightness(batch, 8, 8)},
			"no dimension, an open image": {", color: gray, width: 8, height: 8", brightness(batch, "h", "w")},
		} {
			e := newRepository(t).made("m", "task: classification\ninput: {scale: 0.00392156862745098"+c.color+"}\noutput: {decode: softmax}", c.model).synced(nil)
			if s := only(t, e); s.Input.Color != "gray" || len(s.Warnings) > 0 {
				t.Errorf("%s: %+v", name, s)
			}
			for want, fill := range []color.RGBA{blue, green, {R: 255, G: 255, A: 255}} { // 0.114, 0.587, 0.886
				r, err := e.Predict(t.Context(), Request{Image: plain(t, fill, 20, 10)})
				if err != nil || r.Prediction.(*postprocess.Classified).Top[0].Class != want {
					t.Errorf("%s, batch %v: %v is %+v, %v", name, batch, fill, r, err)
				}
			}
		}
	}
}

// columnsOf is a detector that gives a box for each of six columns of the image that is light, and its score.
func columnsOf(classes int) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, 1, 3, 1, 6)
	m.Ints("six", []int64{6}, 1)
	m.Floats("half", []float32{0.5})
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{0, 1, 2}, "keepdims": 0}, "image")
	m.Node("Greater", "light", nil, "mean", "half")
	var all []float32
	for i := range 6 {
		all = append(all, float32(i), 0, float32(i)+1, 1)
	}
	m.Floats("all", all, 6, 4)
	m.Node("Compress", "boxes", onnxwriter.Attributes{"axis": 0}, "all", "light")
	m.Output("boxes", onnxwriter.Float, "k", 4)
	m.Floats("table", slices.Repeat([]float32{0.25, 0.75}[2-classes:], 6), 6, classes)
	m.Node("Compress", "scores", onnxwriter.Attributes{"axis": 0}, "table", "light")
	m.Output("scores", onnxwriter.Float, "k", classes)
	return m
}

// TestAnyNumberOfBoxes asks a model whose number of boxes is open for every number of them.
func TestAnyNumberOfBoxes(t *testing.T) {
	for _, classes := range []int{1, 2} {
		definition := "task: detection\ninput: {scale: 0.00392156862745098, interpolation: pillow_nearest}\noutput: {decode: boxes, boxes: boxes, scores: scores, box_space: input}"
		e := newRepository(t).made("m", definition, columnsOf(classes)).synced(nil)
		for _, n := range []int{1, 0, 6, 1, 3, 2, 0, 1} {
			r, err := e.Predict(t.Context(), Request{Image: stripes(t, n)})
			if err != nil {
				t.Fatalf("%d boxes of %d classes: %v", n, classes, err)
			}
			if d := r.Prediction.(*postprocess.Detected); len(d.Boxes) != n || n > 0 && d.Boxes[n-1].X2 != float64(n) {
				t.Errorf("%d boxes of %d classes: %+v", n, classes, d.Boxes)
			}
		}
	}
}

// discards counts boxes that are discarded.
type discards struct {
	noObserver
	boxes int
}

func (d *discards) Discarded(_, _ string, boxes int) { d.boxes += boxes }

func TestDiscardedBoxesAreCounted(t *testing.T) {
	m := constantOf(map[string][]float32{"b": {1, 1, 30, 30, -9999, -9999, 9999, 9999}, "s": {0.9, 0.9}}, map[string][]int{"b": {1, 2, 4}, "s": {1, 2}})
	e := newRepository(t).made("m", "task: detection\noutput: {decode: boxes, boxes: b, scores: s, box_space: input}", m).synced(nil)
	seen := &discards{}
	e.shared.obs = seen
	for range 3 {
		r, err := e.Predict(context.Background(), Request{Image: plain(t, red, 64, 64)})
		if err != nil || len(r.Prediction.(*postprocess.Detected).Boxes) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if seen.boxes != 3 {
		t.Errorf("%d discarded boxes are counted, want 3", seen.boxes)
	}
}

// TestTrialsPassTheModelASize uses a model that multiplies its boxes by its size input.
func TestTrialsPassTheModelASize(t *testing.T) {
	for space, want := range map[string]string{"original": "", "input": "box_space: original", "unit": "box_space: original"} {
		m := &onnxwriter.Model{}
		m.Input("image", onnxwriter.Float, 1, 3, 64, 64)
		m.Input("size", onnxwriter.Int64, 1, 2)
		m.Node("Cast", "float", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "size")
		m.Node("Concat", "twice", onnxwriter.Attributes{"axis": 1}, "float", "float")
		m.Floats("unit", []float32{0.1, 0.2, 0.5, 0.9, 0.6, 0.3, 0.9, 0.7}, 1, 2, 4)
		m.Node("Mul", "b", nil, "unit", "twice")
		m.Output("b", onnxwriter.Float, 1, 2, 4)
		m.Floats("none", []float32{0})
		m.Node("ReduceMean", "mean", onnxwriter.Attributes{"keepdims": 0}, "image")
		m.Node("Mul", "zero", nil, "mean", "none")
		m.Floats("score", []float32{0.9, 0.8}, 1, 2)
		m.Node("Add", "s", nil, "score", "zero")
		m.Output("s", onnxwriter.Float, 1, 2)
		e := newRepository(t).made("m", "task: detection\ninput: {name: image, extra: [{name: size, value: original_size_wh}]}\n"+
			"output: {decode: boxes, boxes: b, scores: s, box_space: "+space+"}", m).synced(nil)
		if said := besidesConstant(only(t, e).Warnings); want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", space, said, want)
		}
	}
}

// TestCheckFinite covers every type that scores may have.
func TestCheckFinite(t *testing.T) {
	for dtype, bits := range map[repository.DType][2][]byte{ // finite and not
		repository.Float64: {binary.NativeEndian.AppendUint64(nil, math.Float64bits(1e300)), binary.NativeEndian.AppendUint64(nil, math.Float64bits(math.NaN()))},
		repository.Float32: {binary.NativeEndian.AppendUint32(nil, math.Float32bits(1e30)), binary.NativeEndian.AppendUint32(nil, math.Float32bits(float32(math.Inf(-1))))},
		repository.Float16: {binary.NativeEndian.AppendUint16(nil, 0x3c00), binary.NativeEndian.AppendUint16(nil, 0x7c00)},
	} {
		for i, data := range bits {
			if err := checkFinite([]postprocess.Tensor{{Name: "y", DType: dtype, Data: data}}); (err != nil) != (i == 1) {
				t.Errorf("%s % x: %v", dtype, data, err)
			}
		}
	}
}
