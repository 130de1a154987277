package onnx

import (
	"debug/elf"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

const providerName = "libonnxruntime_providers_cuda.so"

// cudnnName is what the provider opens at its first use, so that its header does not name it (the provider of
// ONNX Runtime 1.30 for CUDA 13 and cuDNN 9).
const cudnnName = "libcudnn.so.9"

// CUDAOptions tune sessions on a CUDA device. The names and their meaning are those of ONNX Runtime's CUDA
// execution provider (onnxruntime.ai, "CUDA Execution Provider", "Configuration Options").
type CUDAOptions struct {
	MemLimit   int64  // gpu_mem_limit: bytes of the session's arena; 0 for no bound. cuDNN's and CUDA's own memory is not in it
	ConvSearch string // cudnn_conv_algo_search: HEURISTIC (default), EXHAUSTIVE, DEFAULT
	NoTF32     bool   // use_tf32=0: full float32 in convolutions and products
	PreferNHWC bool   // prefer_nhwc: channels last in convolutions
}

// Validate names each value that is not allowed.
func (o CUDAOptions) Validate() error {
	var errs []error
	if o.MemLimit < 0 {
		errs = append(errs, fmt.Errorf("memory limit %d: must be 0 (none) or a number of bytes", o.MemLimit))
	}
	switch o.ConvSearch {
	case "", "HEURISTIC", "EXHAUSTIVE", "DEFAULT":
	default:
		errs = append(errs, fmt.Errorf("convolution search %q: allowed are HEURISTIC, EXHAUSTIVE and DEFAULT",
			o.ConvSearch))
	}
	return errors.Join(errs...)
}

// provider is the options in the provider's own words. The arena grows only by what is asked
// (kSameAsRequested), so that the bound is not met by rounding up to a power of two.
func (o CUDAOptions) provider(device Device) map[string]string {
	search := o.ConvSearch
	if search == "" {
		search = "HEURISTIC"
	}
	options := map[string]string{
		"device_id":                 strconv.Itoa(device.Index),
		"arena_extend_strategy":     "kSameAsRequested",
		"cudnn_conv_algo_search":    search,
		"do_copy_in_default_stream": "1",
		"use_tf32":                  flag(!o.NoTF32),
		"prefer_nhwc":               flag(o.PreferNHWC),
	}
	if o.MemLimit > 0 {
		options["gpu_mem_limit"] = strconv.FormatInt(o.MemLimit, 10)
	}
	return options
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// appendCUDA makes the CUDA provider the first of the session.
func appendCUDA(options *ort.SessionOptions, device Device, o CUDAOptions) (err error) {
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

// confirmCUDA fails unless the session has an allocator on the device, which it has only with the provider.
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

// cudaRuntime is the CUDA runtime once it was found; a failure is not kept, so that the next try says what is
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
	folder, err := libraryFolder()
	if err != nil {
		return nil, err
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

// loadProviderLibraries loads all that the provider at path needs and returns the CUDA runtime among it. ONNX
// Runtime itself would name only the first library that is missing.
func loadProviderLibraries(path string) (*native.Library, error) {
	needed, err := neededBy(path)
	if err != nil {
		return nil, fmt.Errorf("%s not found beside %s (`make setup DEVICE=cuda` installs ONNX Runtime with it): %w",
			providerName, libraryName, err)
	}
	var cudart *native.Library
	var missing []error
	for _, name := range append(needed, cudnnName) {
		lib, err := native.Load(name)
		if err != nil {
			missing = append(missing, notFound(name, err))
			continue
		}
		if strings.HasPrefix(name, "libcudart.so.") {
			cudart = lib
		}
	}
	if len(missing) > 0 {
		return nil, listErrors(missing)
	}
	if cudart == nil {
		return nil, fmt.Errorf("%s does not name a CUDA runtime (libcudart)", path)
	}
	return cudart, nil
}

// neededBy reads which libraries the ELF file at path says it needs.
func neededBy(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return file.ImportedLibraries()
}

// notFound says which library is missing. The linker's text is added when it speaks of another one, which name
// needs in turn.
func notFound(name string, err error) error {
	hint := ""
	if name == "libcuda.so.1" {
		hint = ", part of the NVIDIA driver"
	}
	if strings.HasPrefix(err.Error(), name+": cannot open shared object file") {
		return fmt.Errorf("%s not found (needed by %s%s)", name, providerName, hint)
	}
	return fmt.Errorf("%s cannot be loaded (needed by %s%s): %w", name, providerName, hint, err)
}

// listErrors joins errors on one line.
func listErrors(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}
