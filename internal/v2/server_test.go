package v2

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// models are those of the tests: by name, a definition and an ONNX file.
func models() map[string]struct {
	definition string
	file       *onnxwriter.Model
} {
	type entry = struct {
		definition string
		file       *onnxwriter.Model
	}
	simple := &onnxwriter.Model{}
	simple.Input("INPUT0", onnxwriter.Int32, "n", 4)
	simple.Input("INPUT1", onnxwriter.Int32, "n", 4)
	simple.Node("Add", "OUTPUT0", nil, "INPUT0", "INPUT1")
	simple.Node("Sub", "OUTPUT1", nil, "INPUT0", "INPUT1")
	simple.Output("OUTPUT0", onnxwriter.Int32, "n", 4)
	simple.Output("OUTPUT1", onnxwriter.Int32, "n", 4)
	colors := &onnxwriter.Model{}
	colors.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	colors.Floats("part", []float32{0.02})
	colors.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	colors.Node("Mul", "scores", nil, "mean", "part")
	colors.Output("scores", onnxwriter.Float, "n", 3)
	boxes := &onnxwriter.Model{}
	boxes.Input("image", onnxwriter.Float, 1, 3, 8, 8)
	boxes.Floats("none", []float32{0})
	boxes.Floats("values", []float32{1, 2, 5, 6, 0.9, 0, 2, 1, 7, 3, 0.5, 1, 0, 0, 1, 1, 0.1, 0}, 1, 3, 6)
	boxes.Node("ReduceMean", "mean", onnxwriter.Attributes{"keepdims": 0}, "image")
	boxes.Node("Mul", "zero", nil, "mean", "none")
	boxes.Node("Add", "rows", nil, "values", "zero")
	boxes.Output("rows", onnxwriter.Float, 1, 3, 6)
	return map[string]entry{
		"simple": {"task: none", simple},
		"colors": {"task: classification\nlabels: labels.txt\noutput: {decode: softmax}\nbatching: {queue: 40}", colors},
		"boxes":  {"task: detection\noutput: {decode: rows, max_boxes: 5}", boxes},
		"text":   {"task: none", onnxwriter.Identity(onnxwriter.String, "n", 1)},
		"half":   {"task: none", onnxwriter.Identity(onnxwriter.Float16, 1, 2)},
		"open":   {"task: none", onnxwriter.Identity(onnxwriter.Float, 2, "k")},
	}
}

var testLimits = Limits{Timeout: 10 * time.Second, Rows: 32, BodySize: 64 << 20, ImageSize: 1 << 20, Control: true}

// newServer is a server of the models, ready.
func newServer(t testing.TB, limits Limits) (*Server, *inference.Engine) {
	t.Helper()
	return newServerWith(t, limits, inference.Defaults())
}

func newServerWith(t testing.TB, limits Limits, cfg inference.Config) (*Server, *inference.Engine) {
	t.Helper()
	dir := t.TempDir()
	for name, m := range models() {
		for file, data := range map[string][]byte{"model.yaml": []byte(m.definition), "labels.txt": []byte("red\ngreen\nblue\n"), "1/model.onnx": m.file.Bytes()} {
			path := filepath.Join(dir, name, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	cfg.Library, cfg.Device = testenv.ORTLibrary(t), "cpu"
	e, err := inference.New(cfg, repository.Open(dir), nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return New(e, limits, "fovea", "1.2.3"), e
}

func TestMain(m *testing.M) {
	code := m.Run()
	if n := onnx.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d native values were not freed\n", n)
		code = 1
	}
	os.Exit(code)
}

func floats(values ...float32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func ints(values ...int32) (data []byte) {
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, uint32(v))
	}
	return data
}

// plain is a PNG of one color.
func plain(t testing.TB, c color.Color) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	draw.Draw(m, m.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// code is the code of an error, and its message.
func code(err error) (apierror.Code, string) {
	if err == nil {
		return "", ""
	}
	e := apierror.From(err)
	return e.Code, e.Message
}

func TestMetadataAndConfig(t *testing.T) {
	s, _ := newServer(t, testLimits)
	for name, want := range map[string]struct {
		inputs, outputs string
		batch           int
		platform        string
	}{
		"simple":       {"[{INPUT0 INT32 [-1 4]} {INPUT1 INT32 [-1 4]}]", "[{OUTPUT0 INT32 [-1 4]} {OUTPUT1 INT32 [-1 4]}]", 32, "onnxruntime_onnx"},
		"colors":       {"[{image FP32 [-1 3 8 8]}]", "[{scores FP32 [-1 3]}]", 32, "onnxruntime_onnx"},
		"boxes":        {"[{image FP32 [1 3 8 8]}]", "[{rows FP32 [1 3 6]}]", 0, "onnxruntime_onnx"},
		"text":         {"[{x BYTES [-1 1]}]", "[{y BYTES [-1 1]}]", 32, "onnxruntime_onnx"},
		"colors.image": {"[{image BYTES [-1 1]}]", "[{scores FP32 [-1 3]}]", 32, "fovea_image"},
		"boxes.image": {"[{image BYTES [-1 1]}]", "[{num_detections INT32 [-1 1]} {detection_boxes FP32 [-1 5 4]} {detection_scores FP32 [-1 5]} " +
			"{detection_classes INT32 [-1 5]} {detection_labels BYTES [-1 5]}]", 32, "fovea_image"},
	} {
		m, err := s.ModelMetadata(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(m.Inputs) != want.inputs || fmt.Sprint(m.Outputs) != want.outputs || m.Platform != want.platform || !slices.Equal(m.Versions, []string{"1"}) {
			t.Errorf("%s: got %+v", name, m)
		}
		c, err := s.ModelConfig(t.Context(), name, "1")
		if err != nil || c.MaxBatchSize != want.batch || c.Name != name || len(c.Input) != len(m.Inputs) || len(c.InstanceGroup) != 1 {
			t.Fatalf("%s: %+v, %v", name, c, err)
		}
		shape := m.Inputs[0].Shape
		if want.batch > 0 {
			shape = shape[1:]
		}
		if !slices.Equal(c.Input[0].Dims, shape) {
			t.Errorf("%s: dims %v", name, c.Input[0].Dims)
		}
	}
	c, err := s.ModelConfig(t.Context(), "colors", "")
	if err != nil || c.Input[0].Format != "FORMAT_NCHW" || c.Output[0].LabelFilename != "labels.txt" || c.Input[0].DataType != "TYPE_FP32" {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err = s.ModelConfig(t.Context(), "text", ""); err != nil || c.Input[0].DataType != "TYPE_STRING" || c.Input[0].Format != "FORMAT_NONE" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, name := range []string{"nope", "simple.image", ".image", "", "nope.image", "colors.image.image"} {
		if _, err := s.ModelMetadata(t.Context(), name, ""); apierror.From(err) == nil || apierror.From(err).Code != apierror.ModelNotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := s.ModelConfig(t.Context(), "simple", "9"); !strings.Contains(err.Error(), "Request for unknown model: 'simple' version 9 is not found") {
		t.Error(err)
	}
	if _, err := s.ModelConfig(t.Context(), "simple", "x"); apierror.From(err).Code != apierror.InvalidParameter {
		t.Error(err)
	}
}

func TestInferTensors(t *testing.T) {
	s, _ := newServer(t, testLimits)
	a, b := Input{"INPUT0", "INT32", []int64{1, 4}, Raw(ints(1, 2, 3, 4))}, Input{"INPUT1", "INT32", []int64{1, 4}, Raw(ints(10, 20, 30, 40))}
	red := slices.Concat(slices.Repeat(floats(200), 64), slices.Repeat(floats(50), 64), slices.Repeat(floats(100), 64))
	for name, c := range map[string]struct {
		request Request
		want    []Output
	}{
		"two inputs in another order": {Request{Model: "simple", Inputs: []Input{b, a}},
			[]Output{{"OUTPUT0", "INT32", []int64{1, 4}, ints(11, 22, 33, 44)}, {"OUTPUT1", "INT32", []int64{1, 4}, ints(-9, -18, -27, -36)}}},
		"one output, asked for twice": {Request{Model: "simple", Version: "1", Inputs: []Input{a, b}, Outputs: []OutputRequest{{Name: "OUTPUT1"}, {Name: "OUTPUT1"}}},
			[]Output{{"OUTPUT1", "INT32", []int64{1, 4}, ints(-9, -18, -27, -36)}}},
		"classes without labels": {Request{Model: "simple", Inputs: []Input{a, b}, Outputs: []OutputRequest{{"OUTPUT0", 2}}},
			[]Output{{"OUTPUT0", Bytes, []int64{1, 2}, AppendBytes(AppendBytes(nil, "44:3"), "33:2")}}},
		"classes with labels": {Request{Model: "colors", Inputs: []Input{{"image", "FP32", []int64{1, 3, 8, 8}, Raw(red)}}, Outputs: []OutputRequest{{"scores", 99}}},
			[]Output{{"scores", Bytes, []int64{1, 3}, AppendBytes(AppendBytes(AppendBytes(nil, "4.000000:0:red"), "2.000000:2:blue"), "1.000000:1:green")}}},
		"strings": {Request{Model: "text", Inputs: []Input{{"x", Bytes, []int64{2, 1}, Raw(AppendBytes(AppendBytes(nil, "a\x00b"), ""))}}},
			[]Output{{"y", Bytes, []int64{2, 1}, AppendBytes(AppendBytes(nil, "a\x00b"), "")}}},
		"a body that is a string": {Request{Model: "text", Body: []byte("hello")}, []Output{{"y", Bytes, []int64{1, 1}, AppendBytes(nil, "hello")}}},
		"a body that is a row":    {Request{Model: "half", Body: []byte{1, 2, 3, 4}}, []Output{{"y", "FP16", []int64{1, 2}, []byte{1, 2, 3, 4}}}},
		"a body of an open size":  {Request{Model: "open", Body: floats(1, 2, 3, 4, 5, 6)}, []Output{{"y", "FP32", []int64{2, 3}, floats(1, 2, 3, 4, 5, 6)}}},
		"parameters of others":    {Request{Model: "half", Body: []byte{1, 2, 3, 4}, Parameters: Parameters{"mine": true, emptyFinal: true}}, []Output{{"y", "FP16", []int64{1, 2}, []byte{1, 2, 3, 4}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Infer(t.Context(), &c.request)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(got.Outputs) != fmt.Sprint(c.want) || got.Model != c.request.Model || got.Version != "1" {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestInferImages(t *testing.T) {
	s, _ := newServer(t, testLimits)
	red, blue := plain(t, color.RGBA{255, 0, 0, 255}), plain(t, color.RGBA{0, 0, 255, 255})
	got, err := s.Infer(t.Context(), &Request{Model: "colors.image", Inputs: []Input{{"image", Bytes, []int64{2, 1}, Raw(AppendBytes(AppendBytes(nil, red), blue))}}})
	if err != nil {
		t.Fatal(err)
	}
	scores := got.Outputs[0]
	if len(got.Outputs) != 1 || !slices.Equal(scores.Shape, []int64{2, 3}) || got.Rows != 2 {
		t.Fatalf("%+v", got)
	}
	sum := valueOf(scores, 0) + valueOf(scores, 1) + valueOf(scores, 2)
	if math.Abs(sum-1) > 1e-5 || valueOf(scores, 0) < 0.9 || valueOf(scores, 5) < 0.9 {
		t.Errorf("scores %v", scores.Data)
	}
	got, err = s.Infer(t.Context(), &Request{Model: "colors.image", Body: blue, Outputs: []OutputRequest{{"scores", 1}}})
	if err != nil || !strings.Contains(string(got.Outputs[0].Data), ":2:blue") {
		t.Errorf("%v, %v", got, err)
	}
	got, err = s.Infer(t.Context(), &Request{Model: "boxes.image", Body: red, Parameters: Parameters{"score_threshold": 0.4}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Output{{"num_detections", "INT32", []int64{1, 1}, ints(2)},
		{"detection_boxes", "FP32", []int64{1, 5, 4}, floats(1, 2, 5, 6, 2, 1, 7, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"detection_scores", "FP32", []int64{1, 5}, floats(0.9, 0.5, 0, 0, 0)}, {"detection_classes", "INT32", []int64{1, 5}, ints(0, 1, -1, -1, -1)},
		{"detection_labels", Bytes, []int64{1, 5}, make([]byte, 20)}}
	if fmt.Sprint(got.Outputs) != fmt.Sprint(want) {
		t.Errorf("got %v", got.Outputs)
	}
	for threshold, n := range map[any]int32{0.05: 3, "0.6": 1, int64(1): 0} {
		got, err := s.Infer(t.Context(), &Request{Model: "boxes.image", Body: red, Parameters: Parameters{"score_threshold": threshold}, Outputs: []OutputRequest{{Name: "num_detections"}}})
		if err != nil || !bytes.Equal(got.Outputs[0].Data, ints(n)) {
			t.Errorf("threshold %v: %v, %v", threshold, got, err)
		}
	}
	if s, err := s.ModelStatistics(t.Context(), "boxes.image", ""); err != nil || s[0].InferenceStats.Success.Count != 4 || s[0].InferenceCount != 4 || s[0].ExecutionCount != 4 || len(s[0].BatchStats) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestInferErrors(t *testing.T) {
	s, _ := newServer(t, testLimits)
	image := func(shape []int64, data []byte) []Input { return []Input{{"image", Bytes, shape, Raw(data)}} }
	pixels := func(shape ...int64) []Input { return []Input{{"image", "FP32", shape, Raw(make([]byte, 768))}} }
	ok := pixels(1, 3, 8, 8)
	red := plain(t, color.Black)
	for name, c := range map[string]struct {
		request Request
		code    apierror.Code
		says    string
	}{
		"an unknown model":          {Request{Model: "no\nsuch"}, apierror.ModelNotFound, `Request for unknown model: 'no\nsuch' is not found`},
		"an unknown version":        {Request{Model: "colors", Version: "7"}, apierror.ModelNotFound, "'colors' version 7"},
		"no input":                  {Request{Model: "colors"}, apierror.Malformed, "expected 1 inputs but got 0"},
		"an input twice":            {Request{Model: "colors", Inputs: append(ok, ok...)}, apierror.Malformed, "already exists"},
		"an unknown input":          {Request{Model: "colors", Inputs: []Input{{Name: "x"}}}, apierror.Malformed, "unexpected inference input 'x' for model 'colors'; inputs: 'image'"},
		"an unknown datatype":       {Request{Model: "colors", Inputs: []Input{{"image", "fp32", nil, nil}}}, apierror.Malformed, "allowed: BF16, BOOL"},
		"another datatype":          {Request{Model: "colors", Inputs: []Input{{"image", "FP64", nil, nil}}}, apierror.Malformed, "expects 'FP32'"},
		"sizes that overflow twice": {Request{Model: "open", Inputs: []Input{{"x", "FP32", []int64{1 << 32, 1 << 32}, Raw{}}}}, apierror.Malformed, "at most 2^40 elements"},
		"a size below 0":            {Request{Model: "colors", Inputs: pixels(-1, 3, 8, 8)}, apierror.Malformed, "has the shape [-1 3 8 8]"},
		"a size of 0":               {Request{Model: "colors", Inputs: pixels(0, 3, 8, 8)}, apierror.Malformed, "has the shape [0 3 8 8]"},
		"sizes that overflow":       {Request{Model: "open", Inputs: []Input{{"x", "FP32", []int64{2, 1 << 40}, Raw{}}}}, apierror.Malformed, "at most 2^40 elements"},
		"another shape":             {Request{Model: "colors", Inputs: pixels(1, 3, 8, 9)}, apierror.Malformed, "Expected [-1,3,8,8], got [1,3,8,9]"},
		"another rank":              {Request{Model: "colors", Inputs: pixels(3, 8, 8)}, apierror.Malformed, "got [3,8,8]"},
		"too many rows":             {Request{Model: "colors", Inputs: pixels(33, 3, 8, 8)}, apierror.Malformed, "batch-size must be <= 32 for 'colors'"},
		"too few bytes":             {Request{Model: "colors", Inputs: pixels(2, 3, 8, 8)}, apierror.Malformed, "has 768 bytes; 384 elements of FP32 take 1536"},
		"an unknown output":         {Request{Model: "colors", Inputs: ok, Outputs: []OutputRequest{{Name: "nope"}}}, apierror.Malformed, "outputs: 'scores'"},
		"classes of strings":        {Request{Model: "text", Body: []byte{1}, Outputs: []OutputRequest{{"y", 1}}}, apierror.InvalidParameter, "cannot be ranked"},
		"a reserved parameter":      {Request{Model: "colors", Inputs: ok, Parameters: Parameters{"triton_x": 1}}, apierror.InvalidParameter, "reserved"},
		"a timeout that is no time": {Request{Model: "colors", Inputs: ok, Parameters: Parameters{"timeout": "soon"}}, apierror.InvalidParameter, "microseconds"},
		"a timeout below 0":         {Request{Model: "colors", Inputs: ok, Parameters: Parameters{"timeout": int64(-1)}}, apierror.InvalidParameter, "microseconds"},
		"a body for two inputs":     {Request{Model: "simple", Body: []byte{1}}, apierror.Malformed, "has 2 inputs"},
		"a body of another size":    {Request{Model: "half", Body: []byte{1, 2, 3}}, apierror.Malformed, "has 3 bytes"},
		"a body of no whole size":   {Request{Model: "open", Body: make([]byte, 12)}, apierror.Malformed, "does not say which"},
		"no image":                  {Request{Model: "colors.image", Body: []byte("no image at all")}, apierror.UnsupportedFormat, "JPEG"},
		"an empty image":            {Request{Model: "colors.image", Body: []byte{}}, apierror.Undecodable, "empty"},
		"one of two images":         {Request{Model: "colors.image", Inputs: image([]int64{2, 1}, AppendBytes(AppendBytes(nil, red), "nothing"))}, apierror.UnsupportedFormat, "image 1: "},
		"an image too large":        {Request{Model: "colors.image", Body: make([]byte, 1<<20+1)}, apierror.BodyTooLarge, "image 0"},
		"a length beyond the data":  {Request{Model: "colors.image", Inputs: image([]int64{1, 1}, []byte{255, 255, 255, 127, 1})}, apierror.Malformed, "only 1 bytes are left"},
		"more than the elements":    {Request{Model: "colors.image", Inputs: image([]int64{1, 1}, append(AppendBytes(nil, red), 0))}, apierror.Malformed, "1 bytes more"},
		"fewer elements":            {Request{Model: "colors.image", Inputs: image([]int64{2, 1}, AppendBytes(nil, red))}, apierror.Malformed, "1 elements of BYTES; its shape takes 2"},
		"images of another shape":   {Request{Model: "colors.image", Inputs: image([]int64{1, 2}, AppendBytes(AppendBytes(nil, red), red))}, apierror.Malformed, "Expected [-1,1]"},
		"a threshold above 1":       {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"score_threshold": 1.5}}, apierror.InvalidParameter, "from 0 to 1"},
		"too many boxes":            {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"max_boxes": int64(6)}}, apierror.InvalidParameter, "from 1 to 5"},
		"classes that are no text":  {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"classes": true}}, apierror.InvalidParameter, "labels or numbers"},
		"a tile of a classifier":    {Request{Model: "colors.image", Body: red, Parameters: Parameters{"tile": int64(640)}}, apierror.InvalidParameter, "is for models that find objects"},
		"a tile that is too small":  {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"tile": "8"}}, apierror.InvalidParameter, "32–32768"},
		"an overlap of NaN":         {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"tile": "64", "overlap": "NaN"}}, apierror.InvalidParameter, "out of range (0–<1)"},
		"a merge that is a number":  {Request{Model: "boxes.image", Body: red, Parameters: Parameters{"tile": "64", "merge": int64(1)}}, apierror.InvalidParameter, "allowed: greedy_nmm, nmm, nms"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Infer(t.Context(), &c.request)
			if got, message := code(err); got != c.code || !strings.Contains(message, c.says) {
				t.Errorf("got %s: %s", got, message)
			}
		})
	}
	if _, err := s.Infer(t.Context(), &Request{Model: "colors", Inputs: ok}); err != nil {
		t.Errorf("a right request after them: %v", err)
	}
	late := testLimits
	late.Timeout = time.Nanosecond
	slow := New(s.engine, late, "fovea", "")
	if _, err := slow.Infer(t.Context(), &Request{Model: "colors", Inputs: ok}); apierror.From(err).Code != apierror.DeadlineExceeded || !strings.Contains(err.Error(), "within 1ns") {
		t.Errorf("late: %v", err)
	}
}

func TestLoadAndUnload(t *testing.T) {
	s, e := newServer(t, testLimits)
	refused := New(e, Limits{}, "", "")
	for _, err := range []error{refused.Load(t.Context(), "simple"), refused.Unload("simple")} {
		if apierror.From(err).Code != apierror.PermissionDenied {
			t.Errorf("not allowed: %v", err)
		}
	}
	for range 2 {
		if err := s.Unload("simple"); err != nil {
			t.Fatal(err)
		}
		if ready, err := s.ModelReady(t.Context(), "simple", ""); ready || err != nil {
			t.Errorf("ready %t after unload, %v", ready, err)
		}
		if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "unloaded by request") {
			t.Errorf("a sync: %v", err)
		}
		i := slices.IndexFunc(s.Index(false), func(e IndexEntry) bool { return e.Name == "simple" })
		if entry := s.Index(false)[i]; entry.State != "UNAVAILABLE" || entry.Reason != "unloaded by request" {
			t.Errorf("%+v", entry)
		}
		if err := s.Load(t.Context(), "simple"); err != nil {
			t.Fatal(err)
		}
		if ready, err := s.ModelReady(t.Context(), "simple", "1"); !ready || err != nil {
			t.Errorf("not ready after load: %v", err)
		}
	}
	if err := s.Load(t.Context(), "nope"); apierror.From(err).Code != apierror.ModelNotFound || !strings.Contains(err.Error(), "failed to load 'nope'") {
		t.Errorf("got %v", err)
	}
	if err := s.Unload("nope"); err != nil {
		t.Error(err)
	}
	if n := len(s.Index(true)); n != len(models())+2 {
		t.Errorf("%d entries", n)
	}
	all, err := s.ModelStatistics(t.Context(), "", "")
	if err != nil || len(all) != len(models())+2 {
		t.Errorf("%d statistics, %v", len(all), err)
	}
}

func TestModelsThatAreNotInMemory(t *testing.T) {
	cfg := inference.Defaults()
	cfg.MemoryBudget = 1 << 30
	s, e := newServerWith(t, testLimits, cfg)
	loaded := func() (names []string) {
		for _, m := range e.Models() {
			if m.State == inference.Ready {
				names = append(names, m.Name)
			}
		}
		return names
	}
	for _, name := range []string{"simple", "colors", "colors.image"} {
		if ready, err := s.ModelReady(t.Context(), name, "1"); !ready || err != nil {
			t.Errorf("%s: ready %t, %v", name, ready, err)
		}
		if limit, err := s.BodyLimit(t.Context(), name, ""); limit != testLimits.BodySize || err != nil {
			t.Errorf("%s: body limit %d, %v", name, limit, err)
		}
		if _, err := s.ModelStatistics(t.Context(), name, ""); apierror.From(err).Code != apierror.NotReady {
			t.Errorf("%s: statistics: %v", name, err)
		}
	}
	if all, err := s.ModelStatistics(t.Context(), "", ""); len(all) != 0 || err != nil {
		t.Errorf("statistics: %+v, %v", all, err)
	}
	for _, name := range []string{"nope", "simple.image"} {
		if _, err := s.ModelReady(t.Context(), name, ""); apierror.From(err).Code != apierror.ModelNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i := s.Index(true); len(i) != len(models())+2 || i[0].State != "READY" || i[0].Reason != "not used yet" { // boxes
		t.Errorf("index: %+v", i)
	}
	if got := loaded(); got[0] != "simple" || len(got) != 1 { // by ModelReady of simple.image: whether that is a view is in the file
		t.Errorf("questions have loaded %q", got)
	}
	if _, err := s.ModelMetadata(t.Context(), "colors.image", ""); err != nil {
		t.Error(err)
	}
	if got := strings.Join(loaded(), " "); got != "colors simple" {
		t.Errorf("loaded: %s", got)
	}
}

// FuzzShapes sends inputs of any names, datatypes, shapes and bytes to models of open and of fixed shapes. Each error is one of the
// client.
func FuzzShapes(f *testing.F) {
	s, _ := newServer(f, testLimits)
	f.Add("open", "x", "FP32", int64(2), int64(1), int64(1), uint8(2), floats(1, 2))
	f.Add("colors", "image", "FP32", int64(1), int64(3), int64(8), uint8(3), []byte{})
	f.Add("text", "x", "BYTES", int64(1), int64(1), int64(0), uint8(2), AppendBytes(nil, "a"))
	f.Add("half", "x", "FP16", int64(math.MinInt64), int64(math.MaxInt64), int64(-1), uint8(70), []byte{1})
	f.Add("colors.image", "image", "BYTES", int64(1<<32), int64(1<<32), int64(1), uint8(2), []byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, model, input, datatype string, a, b, c int64, rank uint8, data []byte) {
		shape := make([]int64, rank)
		for i := range shape {
			shape[i] = []int64{a, b, c}[i%3]
		}
		for _, r := range []*Request{{Model: model, Inputs: []Input{{input, datatype, shape, Raw(data)}}}, {Model: model, Body: data}} {
			got, err := s.Infer(t.Context(), r)
			if err != nil {
				if code := apierror.From(err).Code; code.Status() >= 500 {
					t.Fatalf("%s: %v", code, err)
				}
				continue
			}
			for _, out := range got.Outputs {
				if n, ok := elements(out.Shape); !ok || Size(out.Datatype) > 0 && n*int64(Size(out.Datatype)) != int64(len(out.Data)) {
					t.Fatalf("%v of %d bytes", out.Shape, len(out.Data))
				}
			}
		}
	})
}

func TestStringsAreCounted(t *testing.T) {
	s, _ := newServer(t, testLimits)
	full := apierror.New(apierror.QueueFull, "full")
	counted := int64(0)
	r := &Request{Model: "text", Inputs: []Input{{"x", Bytes, []int64{100, 1}, Raw(make([]byte, 400))}}, Grow: func(n int64) error {
		counted += n
		return full
	}}
	if _, err := s.Infer(t.Context(), r); apierror.From(err).Code != apierror.QueueFull || counted != 6400 {
		t.Errorf("%v after %d bytes", err, counted)
	}
}

func TestClassificationsAreBounded(t *testing.T) {
	m := &opened{info: &inference.Info{Batched: true}}
	out := Output{"y", "UINT8", []int64{4, 1 << 20}, make([]byte, 4<<20)}
	for n, want := range map[int]bool{1: true, maxRanked / 4: true, maxRanked/4 + 1: false, 1 << 30: false} {
		ranked, err := m.classify(out, n)
		if (err == nil) != want || err != nil && (apierror.From(err).Code != apierror.InvalidParameter || !strings.Contains(err.Error(), "allowed: 262144 together")) {
			t.Errorf("%d of 1048576 classes in 4 rows: %v", n, err)
		}
		if err == nil && !slices.Equal(ranked.Shape, []int64{4, int64(n)}) {
			t.Errorf("%d: %v", n, ranked.Shape)
		}
	}
}
