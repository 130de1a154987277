package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]string{
		"": "auto", "auto": "auto", "cpu": "cpu", "cuda": "cuda:0", "cuda:0": "cuda:0", "cuda:13": "cuda:13",
		"tensorrt": "tensorrt:0", "tensorrt:2": "tensorrt:2",
	} {
		got, err := ParseDevice(text)
		if err != nil || got.String() != want {
			t.Errorf("%q is %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:99999999", "cpu:0", " cpu", "tensorrt:", "TensorRT", "auto:1"} {
		if got, err := ParseDevice(text); err == nil || !strings.Contains(err.Error(), "is not one of auto, cpu, cuda") {
			t.Errorf("%q is %s, error %v", text, got, err)
		}
	}
}

func TestDevicesThatShareMemory(t *testing.T) {
	for text, want := range map[string]string{"cpu": "cpu", "cuda:1": "cuda:1", "tensorrt:1": "cuda:1"} {
		device, err := ParseDevice(text)
		if err != nil || device.Memory() != want {
			t.Errorf("%s: %s, %v", text, device.Memory(), err)
		}
	}
}

// TestMissingTensorRT has a provider that names libraries of TensorRT, which no machine has under these names.
func TestMissingTensorRT(t *testing.T) {
	folder := t.TempDir()
	library := filepath.Join(folder, libraryName)
	if err := os.Symlink(testenv.ORTLibrary(t), library); err != nil {
		t.Fatal(err)
	}
	openAt(t, library)
	if err := checkTensorRT(); err == nil || !strings.HasPrefix(err.Error(), "device tensorrt: this ONNX Runtime is without TensorRT") {
		t.Errorf("without the provider: %v", err)
	}
	copied := filepath.Join(folder, tensorRTProvider)
	for source, want := range map[string]string{
		build(t, "int provider;", "-Wl,--no-as-needed", stub(t, "libnvinfer.so.99"), stub(t, "libnvonnxparser.so.99")): "libnvinfer.so.99 not found (needed by " + tensorRTProvider +
			", part of TensorRT); libnvonnxparser.so.99 not found (needed by " + tensorRTProvider + ", part of TensorRT)",
		build(t, "int provider;"): "does not name TensorRT (libnvinfer)",
	} {
		data, err := os.ReadFile(source)
		if err == nil {
			err = os.WriteFile(copied, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := checkTensorRT(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if _, err := machineKey(Device{Kind: CUDA, TensorRT: true}); err == nil {
			t.Error("there is a key")
		}
	}
	if _, _, err := Pick("tensorrt"); err == nil || !strings.Contains(err.Error(), "device cuda: this ONNX Runtime is without CUDA") {
		t.Errorf("without CUDA: %v", err)
	}
}

// The library that `make setup` installs has no CUDA provider, so this is what a machine without one says.
func TestPickWithoutTheCUDAProvider(t *testing.T) {
	folder := t.TempDir()
	library := filepath.Join(folder, libraryName)
	if err := os.Symlink(testenv.ORTLibrary(t), library); err != nil {
		t.Fatal(err)
	}
	openAt(t, library)
	for _, want := range []string{"cuda", "cuda:1"} {
		_, _, err := Pick(want)
		if err == nil || !strings.Contains(err.Error(), "device cuda: this ONNX Runtime is without CUDA") {
			t.Errorf("%s: %v", want, err)
		}
	}
	device, why, err := Pick("auto")
	if err != nil || device.Kind != CPU || !strings.Contains(why, providerName+" is not in "+folder) {
		t.Errorf("auto picks %s because %q, %v", device, why, err)
	}
	if _, err := NewSession("testdata/conv.onnx", Options{Device: Device{Kind: auto}}); err == nil {
		t.Error("a session runs on auto")
	}
	if device, why, err := Pick("cpu"); err != nil || device.Kind != CPU || why != "requested" {
		t.Errorf("cpu picks %s because %q, %v", device, why, err)
	}
	_, err = NewSession("testdata/conv.onnx", Options{Device: Device{Kind: CUDA}})
	if err == nil || !strings.Contains(err.Error(), providerName+" is not in "+folder) {
		t.Errorf("session: %v", err)
	}
}

// openAt opens a certain library for one test, which must not be open under another path.
func openAt(t *testing.T, path string) {
	t.Helper()
	if err := Open(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Close(); err != nil {
			t.Error(err)
		}
	})
}

// The provider here is a real shared library whose header names libraries that no machine has.
func TestEveryMissingLibraryIsNamed(t *testing.T) {
	provider := build(t, "int provider;", "-Wl,--no-as-needed", stub(t, "libfovea_absent_one.so.13"),
		stub(t, "libfovea_absent_two.so.10"))
	_, err := loadProviderLibraries(provider)
	if err == nil {
		t.Fatal("loaded")
	}
	for _, name := range []string{"libfovea_absent_one.so.13", "libfovea_absent_two.so.10"} {
		if want := name + " not found (needed by " + providerName + ")"; !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "libc.so") {
		t.Errorf("error %q names a library that is there", err)
	}
}

// stub is a library to link against, of a name that it will not have when it is looked for.
func stub(t *testing.T, soname string) string {
	t.Helper()
	return build(t, "int "+strings.NewReplacer(".", "_").Replace(soname)+";", "-Wl,-soname,"+soname)
}

// $FOVEA_TEST_CUDA_PROVIDER names the real provider, where a machine has it without CUDA; else another stands in.
func TestRealProviderNamesMissingLibraries(t *testing.T) {
	path := os.Getenv("FOVEA_TEST_CUDA_PROVIDER")
	if path == "" {
		path = build(t, "int provider;", "-Wl,--no-as-needed", stub(t, "libcublasLt.so.0"))
	}
	_, err := loadProviderLibraries(path)
	if err == nil || !strings.Contains(err.Error(), "libcublasLt.so.") {
		t.Errorf("error %v does not name cuBLAS", err)
	}
	t.Log(err)
}

func TestCUDAOptionsAreChecked(t *testing.T) {
	if err := (CUDAOptions{MemLimit: 1 << 30, ConvSearch: "EXHAUSTIVE"}).Validate(); err != nil {
		t.Error(err)
	}
	err := CUDAOptions{MemLimit: -1, ConvSearch: "heuristic"}.Validate()
	if err == nil || !strings.Contains(err.Error(), "-1") || !strings.Contains(err.Error(), "HEURISTIC, EXHAUSTIVE") {
		t.Errorf("both errors must be reported: %v", err)
	}
	got := fmt.Sprint(CUDAOptions{MemLimit: 5, NoTF32: true}.provider(Device{Kind: CUDA, Index: 2}))
	want := "map[arena_extend_strategy:kSameAsRequested cudnn_conv_algo_search:HEURISTIC device_id:2 " +
		"do_copy_in_default_stream:1 gpu_mem_limit:5 prefer_nhwc:0 use_tf32:0]"
	if got != want {
		t.Errorf("options %s, want %s", got, want)
	}
}

func TestArenaLimitFollowsFreeMemory(t *testing.T) {
	cuda := simulatedRuntime(t)
	for name, c := range map[string]struct {
		given, want int64
		device      int
	}{
		"nothing is said":            {want: 800}, // of 1000 that are free
		"a bound is said":            {given: 5, want: 5},
		"the device does not answer": {device: 1, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := CUDAOptions{MemLimit: c.given}.bounded(cuda, Device{Kind: CUDA, Index: c.device})
			if o.MemLimit != c.want || (err != nil) != (c.want == 0) {
				t.Errorf("bound %d, %v; want %d", o.MemLimit, err, c.want)
			}
		})
	}
}

func TestIsDeviceLost(t *testing.T) {
	device := Device{Kind: CUDA}
	for name, c := range map[string]struct {
		text    string
		latched int
		want    bool
	}{
		"an illegal address in the text": {text: "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=h", want: true},
		"a launch failure in the text":   {text: "x.cc:129 CUDA failure 719: unspecified launch failure", want: true},
		"an unknown error in the text":   {text: "CUDA failure 999: unknown error", want: true},
		"too little memory":              {text: "CUDA failure 2: out of memory ; GPU=0"},
		"host memory pinned twice":       {text: "CUDA failure 712: part or all of the requested memory range is already mapped"},
		"a cuDNN status of that number":  {text: "CUDNN failure 719: x", want: false},
		"a longer number":                {text: "CUDA failure 7001: x"},
		"a number beyond all":            {text: "CUDA failure 99999999999999999999999: x"},
		"an arena that is full":          {text: "Available memory of 0 is smaller than requested bytes of 1024"},
		"hidden behind another error":    {text: "CUDA failure 2: out of memory", latched: 700, want: true},
		"hidden behind cuDNN":            {text: "CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED", latched: 700, want: true},
		"cuDNN alone":                    {text: "CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fmt.Errorf("run: %w", deviceError(device, errors.New(c.text), c.latched))
			if IsDeviceLost(err) != c.want {
				t.Errorf("lost is %t: %v", !c.want, err)
			}
			if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "cuda:0") {
				t.Errorf("error %q leaves out the cause or the device", err)
			}
		})
	}
	if IsDeviceLost(nil) || IsDeviceLost(errors.New("CUDA failure 700: but from elsewhere")) {
		t.Error("an error of no device means that one is lost")
	}
}

// simulatedRuntime is a real library in which device 0 works and an error is latched on device 1.
func simulatedRuntime(t *testing.T) *native.CUDA {
	t.Helper()
	lib, err := native.Load(build(t, `static int device;
int cudaGetDeviceCount(int *n) { *n = 2; return 0; }
int cudaSetDevice(int d) { device = d; return 0; }
int cudaDeviceSynchronize(void) { return device == 1 ? 214 : 0; }
int cudaMemGetInfo(unsigned long *n, unsigned long *all) { *n = 1000; *all = 2000; return device == 1 ? 214 : 0; }
int cudaHostAlloc(void) { return 2; }
int cudaFreeHost(void) { return 0; }
const char *cudaGetErrorName(int e) { return "name"; }
const char *cudaGetErrorString(int e) { return "text of the error"; }`))
	if err != nil {
		t.Fatal(err)
	}
	cuda, err := native.OpenCUDA(lib)
	if err != nil {
		t.Fatal(err)
	}
	return cuda
}

func TestCheckDevice(t *testing.T) {
	cuda := simulatedRuntime(t)
	before := cudaRuntime.cuda
	cudaRuntime.cuda = cuda
	defer func() { cudaRuntime.cuda = before }()
	for _, d := range []Device{{Kind: CPU}, {Kind: CUDA}} {
		if err := CheckDevice(d); err != nil {
			t.Errorf("%s: %v", d, err)
		}
	}
	err := CheckDevice(Device{Kind: CUDA, Index: 1})
	if err == nil || !IsDeviceLost(err) || !strings.Contains(err.Error(), "cuda:1: CUDA error 214 cudaErrorECCUncorrectable") {
		t.Errorf("a lost device: %v, lost %t", err, IsDeviceLost(err))
	}
}

func TestClassifyAsksTheDevice(t *testing.T) {
	before := cudaRuntime.cuda
	defer func() { cudaRuntime.cuda = before }()
	s := &Session{device: Device{Kind: CUDA, Index: 1}}
	cudaRuntime.cuda = nil // and ONNX Runtime is not open, so it cannot be loaded
	if err := s.classify(errors.New("x")); IsDeviceLost(err) || !errors.As(err, new(*DeviceError)) {
		t.Errorf("without a CUDA runtime: %v", err)
	}
	cudaRuntime.cuda = simulatedRuntime(t)
	if err := s.classify(errors.New("x")); !IsDeviceLost(err) {
		t.Errorf("a lost device: %v", err)
	}
	s.device.Index = 0
	if err := s.classify(errors.New("x")); IsDeviceLost(err) {
		t.Errorf("a working device: %v", err)
	}
}

func TestFillElements(t *testing.T) {
	half := func() float32 { return 0.5 }
	for dtype, want := range map[repository.DType][]byte{
		repository.Float32: {0, 0, 0, 0x3F}, repository.Float16: {0, 0x38}, repository.Uint8: {127},
		repository.Int32: {1, 0, 0, 0}, repository.Int64: {1, 0, 0, 0, 0, 0, 0, 0},
	} {
		memory := bytes.Repeat([]byte{0xFF}, 2*dtype.Size())
		fillElements(dtype, memory, half)
		if !bytes.Equal(memory, append(want, want...)) {
			t.Errorf("%s: % x", dtype, memory)
		}
	}
}
