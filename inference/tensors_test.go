package inference

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

func float32s(values ...float32) (data []byte) {
	for _, v := range values {
		data = binary.NativeEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

func numbers(t Tensor) (values []float32) {
	for at := 0; at < len(t.Data); at += 4 {
		values = append(values, math.Float32frombits(binary.NativeEndian.Uint32(t.Data[at:])))
	}
	return values
}

// filled is an input of images that hold one value each.
func filled(side int64, values ...float32) Tensor {
	t := Tensor{Name: "image", DType: repository.Float32, Shape: []int64{int64(len(values)), 3, side, side}}
	for _, v := range values {
		t.Data = append(t.Data, bytes.Repeat(float32s(v), int(3*side*side))...)
	}
	return t
}

func opened(t *testing.T, e *Engine, model string) *Ref {
	t.Helper()
	r, err := e.Open(t.Context(), model, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// meanModel has the mean of its image as the output mean, and outputs that no definition reads.
func meanModel(batch any) *onnxwriter.Model {
	m := classifierOf("Identity")
	m.Inputs[0].Dims[0], m.Outputs[0].Dims[0] = batch, batch
	m.Node("Identity", "again", nil, "mean")
	m.Output("again", onnxwriter.Float, batch, 3)
	return m
}

const classes = "task: classification\noutput: {decode: softmax, name: scores}\n"

func TestRowsOfTensorsShareBatches(t *testing.T) {
	e := newRepository(t).made("m", classes+"batching: {max_size: 4, max_delay: 5ms}", meanModel("n")).synced(nil)
	r := opened(t, e, "m")
	var wg sync.WaitGroup
	for request := range 20 {
		wg.Go(func() {
			values := make([]float32, request%9+1)
			for i := range values {
				values[i] = float32(10*request + i)
			}
			got, err := r.Infer(t.Context(), TensorRequest{Inputs: []Tensor{filled(8, values...)}, Outputs: []string{"scores"}})
			if err != nil {
				t.Error(err)
				return
			}
			out := got.Outputs[0]
			if got.Rows != len(values) || !slices.Equal(out.Shape, []int64{int64(len(values)), 3}) {
				t.Errorf("%d rows, shape %v", got.Rows, out.Shape)
			}
			for i, n := range numbers(out) {
				if math.Abs(float64(n-10*values[i/3])) > 0.01 {
					t.Errorf("row %d of request %d is %g", i/3, request, n)
				}
			}
		})
	}
	wg.Wait()
	s := r.Statistics(OfTensors)
	if s.Success.Count != 20 || s.Rows != 93 || s.Runs < 93/4 || s.Runs >= 93 || s.Fail.Count != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); err != nil {
		t.Error(err)
	}
	if s := r.Statistics(OfImages); s.Success.Count != 1 || s.Rows != 1 || s.Runs != 1 || s.Compute.Time <= 0 || s.Batches[1].Compute.Count != 1 {
		t.Errorf("%+v", s)
	}
	atRest(t, e)
}

func TestTensorsThatRunAlone(t *testing.T) {
	open := meanOf(onnxwriter.Float, "n", 3, "h", "w")
	e := newRepository(t).made("fixed", classes, meanModel(1)).made("free", classes, meanModel("n")).
		made("open", "task: classification\ninput: {resize: none}\noutput: {decode: softmax}", open).synced(nil)
	for name, c := range map[string]struct {
		model   string
		in      Tensor
		outputs []string
		shapes  [][]int64
		rows    int
	}{
		"outputs that the definition reads":     {"free", filled(8, 1, 2), []string{"scores"}, [][]int64{{2, 3}}, 2},
		"all outputs":                           {"free", filled(8, 1, 2), nil, [][]int64{{2, 3}, {2, 3}}, 0},
		"outputs in another order":              {"free", filled(8, 1), []string{"again", "scores"}, [][]int64{{1, 3}, {1, 3}}, 0},
		"a fixed batch":                         {"fixed", filled(8, 1), []string{"scores"}, [][]int64{{1, 3}}, 1},
		"an open size":                          {"open", filled(5, 1, 2, 3), nil, [][]int64{{3, 3}}, 0},
		"many rows":                             {"free", filled(8, make([]float32, 100)...), []string{"scores"}, [][]int64{{100, 3}}, 100},
		"many rows with outputs that are extra": {"free", filled(8, make([]float32, 100)...), nil, [][]int64{{100, 3}, {100, 3}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.in.Name = opened(t, e, c.model).Info().Inputs[0].Name
			got, err := opened(t, e, c.model).Infer(t.Context(), TensorRequest{Inputs: []Tensor{c.in}, Outputs: c.outputs})
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != c.rows || len(got.Outputs) != len(c.shapes) || got.Device != "cpu" {
				t.Fatalf("%d rows, %d outputs on %s", got.Rows, len(got.Outputs), got.Device)
			}
			for i, out := range got.Outputs {
				if !slices.Equal(out.Shape, c.shapes[i]) || c.outputs != nil && out.Name != c.outputs[i] {
					t.Errorf("output %s %v", out.Name, out.Shape)
				}
			}
		})
	}
	atRest(t, e)
}

func TestTensorsWithoutATask(t *testing.T) {
	m := &onnxwriter.Model{}
	m.Input("a", onnxwriter.Int32, "n", 2)
	m.Input("b", onnxwriter.Int32, "n", 2)
	m.Input("text", onnxwriter.String, "k")
	m.Node("Add", "sum", nil, "a", "b")
	m.Node("Less", "less", nil, "a", "b")
	m.Node("Identity", "same", nil, "text")
	m.Output("sum", onnxwriter.Int32, "n", 2)
	m.Output("less", onnxwriter.Bool, "n", 2)
	m.Output("same", onnxwriter.String, "k")
	e := newRepository(t).made("m", "task: none\n", m).synced(nil)
	r := opened(t, e, "m")
	if info := r.Info(); !info.Batched || info.Image != "" || len(info.Outputs) != 3 || info.MaxBatch != 1 {
		t.Errorf("%+v", info)
	}
	text := []byte("\x02\x00\x00\x00a\x00\x00\x00\x00\x00")
	got, err := r.Infer(t.Context(), TensorRequest{Inputs: []Tensor{
		{Name: "text", DType: repository.String, Shape: []int64{2}, Data: text},
		{Name: "b", DType: repository.Int32, Shape: []int64{1, 2}, Data: []byte{5, 0, 0, 0, 1, 0, 0, 0}},
		{Name: "a", DType: repository.Int32, Shape: []int64{1, 2}, Data: []byte{1, 0, 0, 0, 2, 0, 0, 0}}}})
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{{6, 0, 0, 0, 3, 0, 0, 0}, {1, 0}, text}
	for i, out := range got.Outputs {
		if !bytes.Equal(out.Data, want[i]) {
			t.Errorf("%s is %v", out.Name, out.Data)
		}
	}
	_, err = e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
	if f := apierror.From(err); f.Code != apierror.InvalidParameter || !strings.Contains(f.Message, "has no task, and takes tensors") {
		t.Errorf("an image: %v", err)
	}
	atRest(t, e)
}

func TestBatchesWithoutATask(t *testing.T) {
	m := meanModel("n")
	e := newRepository(t).made("m", "task: none\nbatching: {max_size: 4, max_delay: 20ms}", m).synced(nil)
	r := opened(t, e, "m")
	got, err := r.Infer(t.Context(), TensorRequest{Inputs: []Tensor{filled(8, 1, 2, 3, 4, 5, 6, 7)}})
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Statistics(OfTensors); got.Rows != 7 || s.Runs > 4 || len(got.Outputs) != 2 {
		t.Errorf("%d rows in %d runs, %d outputs", got.Rows, s.Runs, len(got.Outputs))
	}
	if first := numbers(got.Outputs[1]); math.Abs(float64(first[20]-7)) > 1e-4 {
		t.Errorf("got %v", first)
	}
	atRest(t, e)
}

// TestRowsThatDependOnEachOther has outputs that only a run of all rows together has.
func TestRowsThatDependOnEachOther(t *testing.T) {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	m.Node("NonZero", "places", nil, "image")
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	m.Output("mean", onnxwriter.Float, "n", 3)
	m.Output("places", onnxwriter.Int64, 4, "k")
	e := newRepository(t).made("m", "task: classification\noutput: {decode: softmax, name: mean}", m).synced(nil)
	got, err := opened(t, e, "m").Infer(t.Context(), TensorRequest{Inputs: []Tensor{filled(8, 0, 1, 0)}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows != 0 || !slices.Equal(got.Outputs[1].Shape, []int64{4, 192}) {
		t.Errorf("%d rows, %v", got.Rows, got.Outputs[1].Shape)
	}
}

func TestTensorErrors(t *testing.T) {
	reshape := &onnxwriter.Model{}
	reshape.Input("image", onnxwriter.Float, "n", 3, "h", "w")
	reshape.Ints("shape", []int64{1, 3}, 2)
	reshape.Node("Reshape", "y", nil, "image", "shape")
	reshape.Output("y", onnxwriter.Float, "n", 3)
	e := newRepository(t).made("m", classes+"batching: {queue: 3}", meanModel("n")).made("reshape", "task: none", reshape).synced(nil)
	other := filled(8, 1)
	other.Name = "other"
	wrong := filled(8, 1)
	wrong.DType = repository.Float64
	short := filled(8, 1)
	short.Data = short.Data[1:]
	negative := filled(8, 1)
	negative.Shape = []int64{-1, 3, 8, 8}
	huge := filled(8, 1)
	huge.Shape = []int64{1<<62 + 1, 3, 8, 8} // whose product is 192 in 64 bits
	for name, c := range map[string]struct {
		model   string
		in      []Tensor
		outputs []string
		code    apierror.Code
		says    string
	}{
		"no input":               {"m", nil, nil, apierror.Malformed, `input "image" is missing`},
		"an unknown input":       {"m", []Tensor{other}, nil, apierror.Malformed, `input "other" is unknown or given twice; inputs: image`},
		"an input twice":         {"m", []Tensor{filled(8, 1), filled(8, 1)}, nil, apierror.Malformed, `unknown or given twice`},
		"another type":           {"m", []Tensor{wrong}, nil, apierror.Malformed, `is float64 [1 3 8 8]; the model takes float32 [-1 3 8 8]`},
		"another size":           {"m", []Tensor{filled(7, 1)}, nil, apierror.Malformed, `[1 3 7 7]; the model takes`},
		"too few bytes":          {"m", []Tensor{short}, nil, apierror.Malformed, `has 767 bytes`},
		"a negative size":        {"m", []Tensor{negative}, nil, apierror.Malformed, `bytes, which is not the size`},
		"a huge size":            {"m", []Tensor{huge}, nil, apierror.Malformed, `bytes, which is not the size`},
		"an unknown output":      {"m", []Tensor{filled(8, 1)}, []string{"nope"}, apierror.Malformed, `output "nope" is unknown; outputs: scores, again`},
		"more rows than a queue": {"m", []Tensor{filled(8, 1, 2, 3, 4)}, []string{"scores"}, apierror.InvalidParameter, `has 4 rows; the model's queue takes 3`},
		"a node that fails":      {"reshape", []Tensor{filled(4, 1)}, nil, apierror.Malformed, `(Reshape) says`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := opened(t, e, c.model).Infer(t.Context(), TensorRequest{Inputs: c.in, Outputs: c.outputs})
			if f := apierror.From(err); f == nil || f.Code != c.code || !strings.Contains(f.Message, c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	if got, err := opened(t, e, "reshape").Infer(t.Context(), TensorRequest{Inputs: []Tensor{filled(1, 7)}}); err != nil || numbers(got.Outputs[0])[2] != 7 {
		t.Errorf("after an error: %v", err)
	}
	atRest(t, e)
}

func TestTensorsLeaveAtTheirDeadline(t *testing.T) {
	e := newRepository(t).made("m", classes, meanModel("n")).synced(func(c *Config) { c.Instances = 1 })
	entered, open := hold(e.models["m"].served[0], nil)
	r := opened(t, e, "m")
	blocked := make(chan struct{})
	go func() {
		defer close(blocked)
		_, _ = e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)})
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for _, outputs := range [][]string{nil, {"scores"}} {
		_, err := r.Infer(ctx, TensorRequest{Inputs: []Tensor{filled(8, 1, 2, 3)}, Outputs: outputs})
		if f := apierror.From(err); f.Code != apierror.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	}
	close(open)
	<-blocked
	if s := r.Statistics(OfTensors); s.Fail.Count != 2 {
		t.Errorf("%+v", s)
	}
	until(t, "an idle model", func() bool { return e.models["m"].served[0].batcher.InUse() == nil })
	atRest(t, e)
}

func TestUndefinedModelTakesTensors(t *testing.T) {
	r := newRepository(t)
	r.addModel("m", meanModel("n"))
	e := r.engine(nil)
	unknown := &repository.UnknownError{Questions: []repository.Question{{Key: "task", Reason: "nothing says"}}}
	e.repo.SetInfer(func(*repository.Graph, fs.FS, map[string]string) (*repository.Inferred, error) { return nil, unknown })
	if err := e.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := only(t, e)
	if s.State != Ready || s.Task != repository.NoTask || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "nothing says") {
		t.Errorf("%+v", s)
	}
	got, err := opened(t, e, "m").Infer(t.Context(), TensorRequest{Inputs: []Tensor{filled(8, 1, 2)}})
	if err != nil || len(got.Outputs) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := e.Predict(t.Context(), Request{Image: plain(t, red, 8, 8)}); !strings.Contains(err.Error(), "cannot be inferred") {
		t.Error(err)
	}
	if _, err := e.Variant("m", "", func(*repository.Definition) {}); err == nil || !strings.Contains(err.Error(), "has no task") || !s.Undefined {
		t.Errorf("a variant: %v, undefined %t", err, s.Undefined)
	}
	failed := errors.New("no image among the inputs")
	e.repo.SetInfer(func(*repository.Graph, fs.FS, map[string]string) (*repository.Inferred, error) { return nil, failed })
	r.addModel("other", meanModel("k"))
	if err := e.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if info := opened(t, e, "other").Info(); info.Definition.Task != repository.NoTask {
		t.Errorf("%+v", info)
	}
	r.write(filepath.Join("broken", "1", "model.onnx"), []byte("version https://git-lfs.github.com/spec/v1"))
	if err := e.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "model broken") {
		t.Errorf("got %v", err)
	}
}
