package onnx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// scaled is a file of y = by·x for batches of rows of two numbers.
func scaled(t *testing.T, by float32) string {
	t.Helper()
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", "two")
	m.Floats("by", []float32{by})
	m.Node("Mul", "y", nil, "x", "by")
	m.Output("y", onnxwriter.Float, "n", "two")
	return writeModel(t, m)
}

// onCPU has an engine compute on the CPU.
func onCPU(options *ort.SessionOptions) error { return useArenas(options) }

func confirmed() error { return nil }

func specOf(rows int) EngineSpec { return EngineSpec{Rows: rows, RowShapes: [][]int64{{2}}} }

// products runs a batch of rows 1, 2, … and returns the first output of each row.
func products(t *testing.T, b *Batch, rows int) (list []float32) {
	t.Helper()
	for row := range rows {
		put(b.Input(0, row), []float32{float32(row + 1), 0})
	}
	if err := b.Run(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	for row := range rows {
		list = append(list, floats(b.Outputs(row)[0].Data)[0])
	}
	return list
}

func TestEnginesComputeTheirBatchSize(t *testing.T) {
	open(t)
	s := load(t, scaled(t, 10), Options{})
	for _, rows := range []int{4, 2} {
		if err := s.buildEngine(t.Context(), specOf(rows), onCPU, confirmed); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.buildEngine(t.Context(), specOf(2), onCPU, confirmed); err == nil || !strings.Contains(err.Error(), "batches of 2 of") {
		t.Errorf("a second engine: %v", err)
	}
	if got := s.Engines(); !slices.Equal(got, []int{2, 4}) {
		t.Errorf("engines of %v", got)
	}
	// An engine that computes something else shows which runs are its.
	other := load(t, scaled(t, 100), Options{})
	(*s.engines.Load())[3] = &engine{runtimeSession: other.session}
	b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2, 3, 4}, RowShapes: [][]int64{{2}}})
	for rows, want := range map[int][]float32{1: {10}, 2: {10, 20}, 3: {100, 200, 300}, 4: {10, 20, 30, 40}} {
		if got := products(t, b, rows); !slices.Equal(got, want) {
			t.Errorf("%d rows: %v, want %v", rows, got, want)
		}
	}
	delete(*s.engines.Load(), 3)
}

func TestEnginesThatFailAreLeft(t *testing.T) {
	open(t)
	var failed []string
	s := load(t, scaled(t, 10), Options{EngineFailed: func(rows int, err error) { failed = append(failed, fmt.Sprint(rows, " ", err)) }})
	if err := s.buildEngine(t.Context(), specOf(2), onCPU, confirmed); err != nil {
		t.Fatal(err)
	}
	engines := *s.engines.Load()
	engines[3] = engines[2] // whose shape is another
	b := batchOf(t, s, BatchSpec{Buckets: []int{2, 3}, RowShapes: [][]int64{{2}}})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(canceled, 3); !errors.Is(err, context.Canceled) || len(failed) > 0 {
		t.Errorf("a canceled run: %v, failed: %q", err, failed)
	}
	for range 2 {
		if got := products(t, b, 3); !slices.Equal(got, []float32{10, 20, 30}) {
			t.Errorf("%v", got)
		}
	}
	if len(failed) != 1 || !strings.HasPrefix(failed[0], "3 run 3 rows of ") || len(s.Engines()) != 0 {
		t.Errorf("failed: %q, engines of %v", failed, s.Engines())
	}
	delete(engines, 3)
}

// TestEnginesThatAreNotTaken builds engines that must not take over runs.
func TestEnginesThatAreNotTaken(t *testing.T) {
	open(t)
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 2)
	m.Floats("zero", []float32{0})
	m.Node("Mul", "none", nil, "x", "zero")
	m.Node("Div", "y", nil, "none", "none")
	m.Output("y", onnxwriter.Float, "n", 2)
	nothing := load(t, writeModel(t, m), Options{})
	s := load(t, scaled(t, 10), Options{})
	if err := s.try(t.Context(), &engine{runtimeSession: nothing.session}, specOf(2)); !errors.Is(err, errNoEngine) {
		t.Errorf("NaN: %v", err)
	}
	if err := nothing.try(t.Context(), &engine{runtimeSession: nothing.session}, specOf(2)); err != nil {
		t.Errorf("NaN of both: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.buildEngine(canceled, specOf(2), onCPU, confirmed); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	broken := errors.New("no provider")
	if err := s.buildEngine(t.Context(), specOf(2), func(*ort.SessionOptions) error { return broken }, confirmed); !errors.Is(err, broken) {
		t.Errorf("without a provider: %v", err)
	}
	if err := s.buildEngine(t.Context(), EngineSpec{Rows: 2}, onCPU, confirmed); err == nil || !strings.Contains(err.Error(), "a row shape is required") {
		t.Errorf("an open shape: %v", err)
	}
	if err := s.BuildEngine(t.Context(), specOf(2)); err == nil || !strings.Contains(err.Error(), "the device is cpu") {
		t.Errorf("on the CPU: %v", err)
	}
	if err := s.buildEngine(t.Context(), specOf(2), onCPU, func() error { return hasEngine(t.TempDir()) }); err == nil || !strings.Contains(err.Error(), "TensorRT takes no part") {
		t.Errorf("without a file: %v", err)
	}
	if s.Engines() != nil {
		t.Errorf("engines of %v", s.Engines())
	}
	closed, err := NewSession(scaled(t, 10), Options{})
	if err == nil {
		err = closed.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.buildEngine(t.Context(), specOf(2), onCPU, confirmed); err == nil || !strings.Contains(err.Error(), "is closed") {
		t.Errorf("closed: %v", err)
	}
}

func TestEnginesOfGraphsThatNormalize(t *testing.T) {
	open(t)
	path := pixelFile(t, true, true)
	file, err := ReadFile(path)
	if err == nil {
		err = file.TakePixels(pixelsOf())
	}
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, path, Options{File: file})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "TensorrtExecutionProvider_x_sm90.engine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.buildEngine(t.Context(), EngineSpec{Rows: 2}, onCPU, func() error { return hasEngine(dir) }); err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, s, BatchSpec{Buckets: []int{2}})
	copy(b.Input(0, 1), []byte{2, 4, 6, 8, 10, 12})
	if err := b.Run(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := floats(b.Outputs(1)[0].Data); !slices.Equal(got, []float32{3, 7, 11}) {
		t.Errorf("%v", got)
	}
}

func TestEngineKeys(t *testing.T) {
	cache := t.TempDir()
	base := EngineKey{GPU: "sm_90", Driver: "580", CUDA: "13000", TensorRT: "101303", Runtime: "1.30.0", Model: "abc", Shapes: "8 [8 3 2 2]"}
	engine, timing, err := base.folders(cache)
	if err != nil {
		t.Fatal(err)
	}
	if again, _, _ := base.folders(cache); again != engine {
		t.Errorf("the same key has %s and %s", engine, again)
	}
	text, err := os.ReadFile(filepath.Join(engine, "key.txt"))
	if err != nil || string(text) != "gpu sm_90\ndriver 580\ncuda 13000\ntensorrt 101303\nonnxruntime 1.30.0\nmodel abc\ngraph \nshapes 8 [8 3 2 2]\nfp16 false\n" {
		t.Errorf("%q, %v", text, err)
	}
	for name, c := range map[string]struct {
		change  func(*EngineKey)
		machine bool // the timings are others, too
	}{
		"another GPU":          {func(k *EngineKey) { k.GPU = "sm_89" }, true},
		"another driver":       {func(k *EngineKey) { k.Driver = "590" }, true},
		"another CUDA":         {func(k *EngineKey) { k.CUDA = "13010" }, true},
		"another TensorRT":     {func(k *EngineKey) { k.TensorRT = "101400" }, true},
		"another ONNX Runtime": {func(k *EngineKey) { k.Runtime = "1.31.0" }, true},
		"other weights":        {func(k *EngineKey) { k.Model = "abd" }, false},
		"another graph":        {func(k *EngineKey) { k.Graph = "pixels" }, false},
		"another batch size":   {func(k *EngineKey) { k.Shapes = "4 [4 3 2 2]" }, false},
		"float16":              {func(k *EngineKey) { k.FP16 = true }, false},
	} {
		key := base
		c.change(&key)
		e, timings, err := key.folders(cache)
		if err != nil || e == engine || (timings != timing) != c.machine {
			t.Errorf("%s: %s, %s (%v)", name, e, timings, err)
		}
	}
	if err := os.WriteFile(filepath.Join(cache, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := base.folders(filepath.Join(cache, "file")); err == nil || !strings.HasPrefix(err.Error(), "inference.tensorrt.cache: ") {
		t.Errorf("a file: %v", err)
	}
}

func TestOptionsOfEngines(t *testing.T) {
	open(t)
	cache := t.TempDir()
	spec := specOf(2)
	spec.Options.Cache = cache
	options := func(s *Session, spec EngineSpec) map[string]string {
		t.Helper()
		o, err := s.engineOptions(EngineKey{TensorRT: "101303"}, spec)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	s := load(t, scaled(t, 10), Options{})
	s.device = Device{Kind: CUDA, Index: 3, TensorRT: true}
	got := options(s, spec)
	s.device = Device{Kind: CPU}
	if got["device_id"] != "3" || got["trt_fp16_enable"] != "0" || got["trt_engine_cache_enable"] != "1" || got["trt_timing_cache_enable"] != "1" ||
		filepath.Dir(got["trt_engine_cache_path"]) != cache || filepath.Dir(got["trt_timing_cache_path"]) != cache {
		t.Errorf("%v", got)
	}
	half := spec
	half.Options.FP16 = true
	more := spec
	more.Rows = 4
	engines := map[string]string{got["trt_engine_cache_path"]: "the model"}
	others := map[string]map[string]string{
		"float16":        options(s, half),
		"more rows":      options(s, more),
		"other weights":  options(load(t, scaled(t, 11), Options{}), spec),
		"a half input":   options(load(t, writeModel(t, onnxwriter.Identity(onnxwriter.Float16, "n", "two")), Options{}), spec),
		"a graph's work": options(sessionOfPixels(t), EngineSpec{Rows: 2, Options: spec.Options}),
	}
	for name, o := range others {
		if same := engines[o["trt_engine_cache_path"]]; same != "" {
			t.Errorf("%s shares the engine of %s", name, same)
		}
		engines[o["trt_engine_cache_path"]] = name
		if fp16 := o["trt_fp16_enable"] == "1"; fp16 != (name == "float16" || name == "a half input") {
			t.Errorf("%s: trt_fp16_enable=%s", name, o["trt_fp16_enable"])
		}
	}
	if _, err := s.engineOptions(EngineKey{}, EngineSpec{Rows: 2, Options: spec.Options}); err == nil || !strings.Contains(err.Error(), "a row shape is required") {
		t.Errorf("an open shape: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if _, err := s.engineOptions(EngineKey{}, specOf(2)); err == nil || !strings.HasPrefix(err.Error(), "inference.tensorrt.cache: is required") {
		t.Errorf("without a folder: %v", err)
	}
	t.Setenv("XDG_CACHE_HOME", cache)
	if dir, err := DefaultEngineCache(); err != nil || dir != filepath.Join(cache, "fovea", "tensorrt") {
		t.Errorf("%s, %v", dir, err)
	}
}

func sessionOfPixels(t *testing.T) *Session {
	t.Helper()
	path := writeModel(t, onnxwriter.Identity(onnxwriter.Float, "n", 3, 1, 2))
	file, err := ReadFile(path)
	if err == nil {
		err = file.TakePixels(pixelsOf())
	}
	if err != nil {
		t.Fatal(err)
	}
	return load(t, path, Options{File: file})
}

func TestHashOfAModel(t *testing.T) {
	hash := func(path string) string {
		t.Helper()
		sum, err := hashModel(path)
		if err != nil || len(sum) != 64 {
			t.Fatalf("%q, %v", sum, err)
		}
		return sum
	}
	a, b := pixelFile(t, true, false), pixelFile(t, true, false)
	before := hash(a)
	if hash(b) != before || hash(pixelFile(t, false, false)) == before {
		t.Error("the hash is not that of the content")
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(b), "w.bin"), make([]byte, 72), 0o600); err != nil {
		t.Fatal(err)
	}
	if hash(b) == before {
		t.Error("external data does not count")
	}
	if _, err := hashModel(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	file := filepath.Join(t.TempDir(), "version")
	if err := os.WriteFile(file, []byte("580.65.06\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v := driverVersion(file); v != "580.65.06" || driverVersion(file+"x") != "" {
		t.Errorf("driver %q", v)
	}
}

// TestFixedShapes names the dimensions of inputs with and without a batch dimension.
func TestFixedShapes(t *testing.T) {
	s := &Session{inputs: []Info{{Name: "image", DType: repository.Float32, Shape: []int64{-1, 3, -1, -1}}, {Name: "size", Shape: []int64{2}}}}
	if got := fmt.Sprint(s.fixedShapes(EngineSpec{Rows: 8, RowShapes: [][]int64{{3, 4, 5}, {2}}})); got != "[[8 3 4 5] [2]]" {
		t.Errorf("%s", got)
	}
}
