//go:build gpu

package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// These tests need a GPU and fail without one; scripts/gpu-check runs them. $FOVEA_ORT_LIBRARY must name an ONNX Runtime
// with the CUDA provider. With the simulated CUDA (folder simcuda, $FOVEA_TEST_GPU_SIMULATED) all run except the
// comparison of outputs, which are meaningless there.

func simulated() bool { return os.Getenv("FOVEA_TEST_GPU_SIMULATED") != "" }

func openGPU(t testing.TB) Device {
	open(t)
	device, _, err := Pick("cuda")
	if err != nil {
		t.Fatal(err)
	}
	return device
}

func TestGPUIsPickedByAuto(t *testing.T) {
	want := openGPU(t)
	device, why, err := Pick("auto")
	if err != nil || device != want {
		t.Fatalf("auto picks %s because %q, %v", device, why, err)
	}
	if _, _, err := Pick("cuda:999"); err == nil || !strings.Contains(err.Error(), "CUDA devices, numbered from 0") {
		t.Errorf("cuda:999: %v", err)
	}
}

// TestGPUTensorRT builds an engine. The simulated TensorRT has no operators, so that its provider takes no part of the model.
func TestGPUTensorRT(t *testing.T) {
	open(t)
	device, _, err := Pick("tensorrt")
	if err != nil {
		t.Skip(err)
	}
	key, err := machineKey(device)
	if err != nil || key.TensorRT < "10" || !strings.HasPrefix(key.GPU, "sm_") {
		t.Errorf("%+v, %v", key, err)
	}
	s := load(t, scaled(t, 10), Options{Device: device})
	spec := specOf(2)
	spec.Options = TensorRTOptions{Cache: t.TempDir(), FP16: true}
	err = s.BuildEngine(t.Context(), spec)
	if simulated() {
		if err == nil || !strings.Contains(err.Error(), "TensorRT takes no part of the model") || len(s.Engines()) > 0 {
			t.Errorf("%v, engines of %v", err, s.Engines())
		}
		if keys, err := filepath.Glob(filepath.Join(spec.Options.Cache, "*", "key.txt")); err != nil || len(keys) != 1 {
			t.Errorf("keys: %q, %v", keys, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}, RowShapes: [][]int64{{2}}})
	if got := products(t, b, 2); got[0] != 10 || got[1] != 20 || len(s.Engines()) != 1 {
		t.Errorf("%v, engines of %v", got, s.Engines())
	}
}

// TestGPUTensorRTOptionsAreKnown gives the provider options that it must refuse or take.
func TestGPUTensorRTOptionsAreKnown(t *testing.T) {
	open(t)
	device, _, err := Pick("tensorrt")
	if err != nil {
		t.Skip(err)
	}
	options, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := options.Destroy(); err != nil {
			t.Error(err)
		}
	}()
	for key, value := range (TensorRTOptions{}).provider(device, true, t.TempDir(), t.TempDir()) {
		if err := options.Update(map[string]string{key: value}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := options.Update(map[string]string{"trt_engine_cache": "1"}); err == nil {
		t.Error("an option that does not exist is taken")
	}
}

func TestGPUAnswersLikeTheCPU(t *testing.T) {
	device := openGPU(t)
	for _, path := range realModels(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			cpu := batchOf(t, load(t, path, Options{}), BatchSpec{Buckets: []int{1}})
			gpu := batchOf(t, load(t, path, Options{Device: device, CUDA: CUDAOptions{NoTF32: true}}), BatchSpec{Buckets: []int{1, 4, 8}})
			for _, rows := range gpu.sizes() {
				for row := range rows {
					noise(gpu, row, uint64(row))
				}
				if err := gpu.Run(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
				for row := range rows {
					noise(cpu, 0, uint64(row))
					if err := cpu.Run(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					if ordered(cpu.Outputs(0)) && !simulated() { // scripts/gpu-check says that a rehearsal leaves this out
						closeOutputs(t, rows, row, gpu.Outputs(row), cpu.Outputs(0))
					}
				}
			}
		})
	}
}

// ordered says whether outputs can be compared element by element: a list of boxes with class numbers is sorted
// by scores, of which noise has many that are nearly equal.
func ordered(outputs []postprocess.Tensor) bool {
	for _, out := range outputs {
		if out.DType == repository.Int64 || out.DType == repository.Int32 {
			return false
		}
	}
	return true
}

// closeOutputs allows 2% of the output's largest magnitude: int8 models round at other places on the GPU, and
// float16 has 11 bits.
func closeOutputs(t *testing.T, rows, row int, got, want []postprocess.Tensor) {
	t.Helper()
	for i := range want {
		g, w := numbers(got[i]), numbers(want[i])
		if len(g) != len(w) {
			t.Fatalf("row %d of %d: %s has %d elements, on the CPU %d", row, rows, want[i].Name, len(g), len(w))
		}
		most := 0.0
		for _, v := range w {
			most = max(most, math.Abs(v))
		}
		for j := range w {
			if !(math.Abs(g[j]-w[j]) <= 0.02*most+1e-4) {
				t.Fatalf("row %d of %d: %s[%d] is %v, on the CPU %v", row, rows, want[i].Name, j, g[j], w[j])
			}
		}
	}
}

// numbers are the elements of a float32, float16 or uint8 output.
func numbers(out postprocess.Tensor) []float64 {
	size := out.DType.Size()
	list := make([]float64, len(out.Data)/size)
	for i := range list {
		at := out.Data[i*size:]
		switch out.DType {
		case repository.Float32:
			list[i] = float64(math.Float32frombits(binary.NativeEndian.Uint32(at)))
		case repository.Float16:
			list[i] = float64(float16.Value(binary.NativeEndian.Uint16(at)))
		case repository.Uint8, repository.Int32, repository.Int64:
			list[i] = float64(at[0]) // whole numbers are not compared, see ordered
		}
	}
	return list
}

func TestGPUMemoryIsPinnedAndBounded(t *testing.T) {
	device := openGPU(t)
	const limit = 64 << 20
	s := load(t, "testdata/open.onnx", Options{Device: device, CUDA: CUDAOptions{MemLimit: limit}})
	spec := BatchSpec{Rows: 1, RowShapes: [][]int64{{1, 512, 512}}}
	small := batchOf(t, s, spec)
	for i := range small.inputs {
		if !small.inputs[i].block.Pinned() {
			t.Errorf("input %d is not pinned", i)
		}
	}
	rows := limit/len(small.Input(0, 0)) + 1
	spec.Rows = rows // its inputs alone exceed the bound
	large, err := s.NewBatch(t.Context(), spec)
	if err == nil {
		t.Error("a batch beyond the memory limit ran", large.Close())
	} else if IsDeviceLost(err) {
		t.Errorf("too little memory counts as a lost device: %v", err)
	} else {
		t.Log(err)
	}
	noise(small, 0, 1)
	for range 2 {
		if err := small.Run(t.Context(), 1); err != nil {
			t.Errorf("after the failure: %v", err)
		}
	}
}

// Every option must be one that the provider knows, with a value that it takes.
func TestGPUOptionsAreKnownToTheProvider(t *testing.T) {
	device := openGPU(t)
	for name, o := range map[string]CUDAOptions{
		"default":    {},
		"exhaustive": {ConvSearch: "EXHAUSTIVE"},
		"plain":      {ConvSearch: "DEFAULT"},
		"no TF32":    {NoTF32: true},
		"NHWC":       {PreferNHWC: true},
		"bounded":    {MemLimit: 256 << 20},
		"pageable":   {Pageable: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := batchOf(t, load(t, "testdata/conv.onnx", Options{Device: device, CUDA: o}), BatchSpec{Buckets: []int{1, 4}})
			if err := b.Run(t.Context(), 4); err != nil {
				t.Error(err)
			}
			if got := b.inputs[0].block.Pinned(); got == o.Pageable {
				t.Errorf("pinned is %t", got)
			}
		})
	}
	options := CUDAOptions{ConvSearch: "HEURISTIC", MemLimit: 1 << 20}.provider(device)
	options["no_such_option"] = "1"
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer cuda.Destroy()
	if err := cuda.Update(options); err == nil {
		t.Error("the provider takes an option that it cannot know, so this test shows nothing")
	}
}

// ONNX Runtime 1.30 has no CUDA kernel for QLinearConv, of which quantized models are made.
func TestGPUSaysWhatIsLeftToTheCPU(t *testing.T) {
	device := openGPU(t)
	if s := load(t, "testdata/conv.onnx", Options{Device: device}); s.PartlyCPU() {
		t.Error("a model of which CUDA computes all counts as partly on the CPU")
	}
	path := "testdata/quantized.onnx"
	if s := load(t, path, Options{Device: device}); !s.PartlyCPU() {
		t.Error("nothing says that a quantized model is computed by the CPU")
	}
	if s := load(t, path, Options{}); s.PartlyCPU() {
		t.Error("a session on the CPU is partly on the CPU")
	}
	s, err := NewSession(path, Options{Device: device, CUDA: CUDAOptions{RefuseCPU: true}})
	if err == nil {
		t.Error("what is refused is loaded", s.Close())
	} else if !strings.Contains(err.Error(), "would run on the CPU") {
		t.Error(err)
	}
}

// Only the simulated CUDA fails on request; a real fault would end the process's work on the GPU.
func TestSimulatedFaultStays(t *testing.T) {
	file := os.Getenv("SIMCUDA_FAULT_FILE")
	if file == "" {
		t.Skip("no simulated CUDA")
	}
	device := openGPU(t)
	b := batchOf(t, load(t, "testdata/conv.onnx", Options{Device: device}), BatchSpec{Buckets: []int{1}})
	if err := errors.Join(CheckDevice(device), b.Run(t.Context(), 1)); err != nil {
		t.Fatal(err)
	}
	for code, lost := range map[string]bool{"700": true, "2": false} {
		if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := b.Run(t.Context(), 1); err == nil || IsDeviceLost(err) != lost || !strings.Contains(err.Error(), code) {
			t.Errorf("a run with CUDA error %s: lost %t, %v", code, IsDeviceLost(err), err)
		}
		if err := CheckDevice(device); err == nil || IsDeviceLost(err) != lost {
			t.Errorf("CheckDevice with CUDA error %s: lost %t, %v", code, IsDeviceLost(err), err)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func TestGPULeavesTheSignalsToGo(t *testing.T) {
	device := openGPU(t)
	b := batchOf(t, load(t, "testdata/conv.onnx", Options{Device: device}), BatchSpec{Buckets: []int{1, 8}})
	for _, rows := range b.sizes() {
		if err := b.Run(t.Context(), rows); err != nil {
			t.Fatal(err)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		arrived := make(chan os.Signal, 1)
		signal.Notify(arrived, sig)
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		select {
		case <-arrived:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s did not reach Go", sig)
		}
		signal.Stop(arrived)
	}
}

// BenchmarkGPU compares Fovea's batches with a plain loop over the same session, which makes its tensors once,
// copies every image in, and leaves the outputs to ONNX Runtime. Both begin with raw float32 images.
func BenchmarkGPU(b *testing.B) {
	device := openGPU(b)
	for _, rows := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			s := load(b, benchModel(b), Options{Device: device})
			batch := batchOf(b, s, BatchSpec{Buckets: []int{rows}})
			noise(batch, 0, 1)
			img := append([]byte{}, batch.Input(0, 0)...)
			b.Run("fovea", func(b *testing.B) { measure(b, rows, func() error { return runBatch(batch, img, rows) }) })
			b.Run("plain", func(b *testing.B) {
				run, closeAll := plainLoop(b, s, batch, img, rows)
				defer closeAll()
				measure(b, rows, run)
			})
		})
	}
}

func measure(b *testing.B, rows int, run func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := run(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "images/s")
}

func runBatch(batch *Batch, img []byte, rows int) error {
	for row := range rows {
		copy(batch.Input(0, row), img)
	}
	return batch.Run(context.Background(), rows)
}

func plainLoop(b *testing.B, s *Session, batch *Batch, img []byte, rows int) (run func() error, closeAll func()) {
	shape := append(ort.Shape{int64(rows)}, batch.inputs[0].rowShape...)
	memory := make([]byte, rows*len(img))
	input, err := ort.NewCustomDataTensor(shape, memory, elements[s.inputs[0].DType])
	if err != nil {
		b.Fatal(err)
	}
	run = func() error {
		for row := range rows {
			copy(memory[row*len(img):], img)
		}
		outputs := make([]ort.Value, len(s.outputs))
		if err := batch.session.Run([]ort.Value{input}, outputs); err != nil {
			return err
		}
		for _, output := range outputs {
			if err := output.Destroy(); err != nil {
				return err
			}
		}
		return nil
	}
	return run, func() { _ = input.Destroy() }
}
