package onnx

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

const providerName = "libonnxruntime_providers_cuda.so"

// cudnnName is loaded by the provider on first use, so its ELF header does not list it (ONNX Runtime 1.30 for CUDA 13
// and cuDNN 9).
const cudnnName = "libcudnn.so.9"

// CUDAOptions tune sessions on a CUDA device. Names and meanings are those of ONNX Runtime's CUDA execution provider
// (onnxruntime.ai, "CUDA Execution Provider", "Configuration Options").
type CUDAOptions struct {
	MemLimit   int64  // gpu_mem_limit: limit of the session's arena in bytes, excluding cuDNN's and CUDA's own memory; 0: four fifths of what is free
	ConvSearch string // cudnn_conv_algo_search: HEURISTIC (default), EXHAUSTIVE, DEFAULT
	NoTF32     bool   // use_tf32=0: full float32 precision in convolutions and matrix products
	PreferNHWC bool   // prefer_nhwc: channels-last convolutions
	RefuseCPU  bool   // session.disable_cpu_ep_fallback: fail if ONNX Runtime would run a part of the model on the CPU
	Pageable   bool   // batches in pageable instead of pinned memory; only for measuring the effect of pinning
}

// Validate reports every value that is not allowed.
func (o CUDAOptions) Validate() error {
	var errs []error
	if o.MemLimit < 0 {
		errs = append(errs, fmt.Errorf("memory limit %d: must be 0 (four fifths of what is free) or a number of bytes", o.MemLimit))
	}
	if !slices.Contains([]string{"", "HEURISTIC", "EXHAUSTIVE", "DEFAULT"}, o.ConvSearch) {
		errs = append(errs, fmt.Errorf("convolution search: %q is not one of HEURISTIC, EXHAUSTIVE, DEFAULT", o.ConvSearch))
	}
	return errors.Join(errs...)
}

// provider returns the provider's own options.
func (o CUDAOptions) provider(device Device) map[string]string {
	return map[string]string{
		"device_id":                 strconv.Itoa(device.Index),
		"arena_extend_strategy":     cudaArenaStrategy,
		"cudnn_conv_algo_search":    cmp.Or(o.ConvSearch, "HEURISTIC"),
		"do_copy_in_default_stream": "1",
		"gpu_mem_limit":             strconv.FormatInt(o.MemLimit, 10),
		"use_tf32":                  flag(!o.NoTF32),
		"prefer_nhwc":               flag(o.PreferNHWC),
	}
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// cpuFallback is ONNX Runtime 1.30's message when a node has no kernel on the session's device and
// session.disable_cpu_ep_fallback forbids the CPU (inference_session.cc). The error has no specific code.
const cpuFallback = "graph nodes that are assigned to the default CPU EP"

// createCUDA creates a session that runs entirely on the GPU. If parts of the model can only run on the CPU, the session
// runs them there, unless o refuses that.
func (s *Session) createCUDA(o Options) (*runtimeSession, error) {
	session, err := s.tryCUDA(o, true)
	if err == nil || !strings.Contains(err.Error(), cpuFallback) {
		return session, err
	}
	if o.CUDA.RefuseCPU {
		return nil, fmt.Errorf("parts of the model would run on the CPU, because ONNX Runtime has no CUDA kernel for them; that is refused: %w", err)
	}
	s.partlyCPU = true
	return s.tryCUDA(o, false)
}

// tryCUDA creates a session with the CUDA provider; with gpuOnly the GPU must run all of the model.
func (s *Session) tryCUDA(o Options, gpuOnly bool) (*runtimeSession, error) {
	session, err := s.create(o, func(options *ort.SessionOptions) error {
		return appendCUDA(options, s.device, o.CUDA, gpuOnly)
	})
	if err != nil {
		return nil, err
	}
	if err := confirmCUDA(session.DynamicAdvancedSession, s.device); err != nil {
		return nil, errors.Join(err, session.Destroy())
	}
	return session, nil
}

// appendCUDA makes the CUDA provider the session's first; gpuOnly forbids falling back to the CPU.
func appendCUDA(options *ort.SessionOptions, device Device, o CUDAOptions, gpuOnly bool) (err error) {
	if err := options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", flag(gpuOnly)); err != nil {
		return err
	}
	runtime, err := openCUDA()
	if err != nil {
		return err
	}
	if o, err = o.bounded(runtime, device); err != nil {
		return err
	}
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("CUDA provider options: %w", err)
	}
	defer func() { err = errors.Join(err, cuda.Destroy()) }()
	if err := cuda.Update(o.provider(device)); err != nil {
		return fmt.Errorf("CUDA provider options: %w", err)
	}
	if err := options.AppendExecutionProviderCUDA(cuda); err != nil {
		return fmt.Errorf("CUDA provider: %w", err)
	}
	return nil
}

// confirmCUDA fails unless the session has an allocator on the device, which only the provider supplies.
func confirmCUDA(session *ort.DynamicAdvancedSession, device Device) (err error) {
	memory, err := ort.NewMemoryInfo("Cuda", ort.AllocatorTypeDevice, device.Index, ort.MemTypeDefault)
	if err != nil {
		return fmt.Errorf("describe the memory of %s: %w", device, err)
	}
	defer func() { err = errors.Join(err, memory.Destroy()) }()
	allocator, err := session.CreateAllocator(memory)
	if err != nil {
		return fmt.Errorf("the session does not use %s: %w", device, err)
	}
	return allocator.Destroy()
}

// cudaRuntime is the CUDA runtime once it has been loaded. A failure is not cached: the next attempt reports what is
// missing then.
var cudaRuntime struct {
	sync.Mutex
	cuda *native.CUDA
}

func openCUDA() (*native.CUDA, error) {
	cudaRuntime.Lock()
	defer cudaRuntime.Unlock()
	if cudaRuntime.cuda != nil {
		return cudaRuntime.cuda, nil
	}
	lib, folder := openLibrary()
	if lib == nil {
		return nil, errNotOpen
	}
	cudart, err := loadProviderLibraries(filepath.Join(folder, providerName))
	if err != nil {
		return nil, err
	}
	cuda, err := native.OpenCUDA(cudart)
	if err != nil {
		return nil, err
	}
	cudaRuntime.cuda = cuda
	return cuda, nil
}

// loadProviderLibraries loads every library that the provider at path needs and returns the CUDA runtime. ONNX Runtime
// itself would name only the first missing library.
func loadProviderLibraries(path string) (*native.Library, error) {
	loaded, err := loadNeeded(path, providerName, cudnnName)
	if err != nil {
		return nil, err
	}
	cudart := libraryOf(loaded, "libcudart.so.")
	if cudart == nil {
		return nil, fmt.Errorf("%s does not name a CUDA runtime (libcudart)", path)
	}
	return cudart, nil
}

// loadNeeded loads the libraries that a provider at path needs, and more. The error names every one that is missing.
func loadNeeded(path, provider string, more ...string) (map[string]*native.Library, error) {
	needed, err := neededBy(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this ONNX Runtime is without %s (`make setup DEVICE=cuda` installs one with it): %s is not in %s",
			map[string]string{providerName: "CUDA", tensorRTProvider: "TensorRT"}[provider], provider, filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s next to %s: %w", provider, libraryName, err)
	}
	loaded := map[string]*native.Library{}
	var missing []string
	for _, name := range append(needed, more...) {
		if loaded[name], err = native.Load(name); err != nil {
			missing = append(missing, notFound(name, provider, err))
		}
	}
	if len(missing) > 0 {
		return nil, errors.New(strings.Join(missing, "; "))
	}
	return loaded, nil
}

// libraryOf returns the library whose name begins so; nil: there is none.
func libraryOf(loaded map[string]*native.Library, prefix string) *native.Library {
	for name, lib := range loaded {
		if strings.HasPrefix(name, prefix) {
			return lib
		}
	}
	return nil
}

// neededBy reads the libraries that the ELF file at path depends on.
func neededBy(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return file.ImportedLibraries()
}

// notFound names the missing library. The linker's message is added when it is about another library, which name
// depends on.
func notFound(name, provider string, err error) string {
	hint := ""
	switch {
	case name == "libcuda.so.1":
		hint = ", part of the NVIDIA driver"
	case strings.HasPrefix(name, "libnvinfer.so"), strings.HasPrefix(name, "libnvonnxparser.so"):
		hint = ", part of TensorRT"
	}
	if strings.HasPrefix(err.Error(), name+": cannot open shared object file") {
		return fmt.Sprintf("%s not found (needed by %s%s)", name, provider, hint)
	}
	return fmt.Sprintf("%s cannot be loaded (needed by %s%s): %v", name, provider, hint, err)
}
