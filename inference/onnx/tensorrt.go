package onnx

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
	"fovea/internal/repository"
)

const tensorRTProvider = "libonnxruntime_providers_tensorrt.so"

// TensorRTOptions tune sessions on TensorRT. The names in parentheses are those of ONNX Runtime's TensorRT execution provider
// (onnxruntime.ai, "TensorRT Execution Provider", "Configurations").
type TensorRTOptions struct {
	Cache string // folder of the engines; empty: DefaultEngineCache
	FP16  bool   // trt_fp16_enable: compute in float16 where that is faster; models with a float16 input always do
}

// DefaultEngineCache is the folder of the engines of a user, fovea/tensorrt in the cache folder.
func DefaultEngineCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("inference.tensorrt.cache: is required: %w", err)
	}
	return filepath.Join(dir, "fovea", "tensorrt"), nil
}

// checkTensorRT fails if TensorRT cannot be used; the error names every library that is missing.
func checkTensorRT() error {
	if _, err := openTensorRT(); err != nil {
		return fmt.Errorf("device tensorrt: %w", err)
	}
	return nil
}

// openTensorRT loads the libraries of the provider, and returns libnvinfer.
func openTensorRT() (*native.Library, error) {
	lib, folder := openLibrary()
	if lib == nil {
		return nil, errNotOpen
	}
	path := filepath.Join(folder, tensorRTProvider)
	loaded, err := loadNeeded(path, tensorRTProvider)
	if err != nil {
		return nil, err
	}
	infer := libraryOf(loaded, "libnvinfer.so.")
	if infer == nil {
		return nil, fmt.Errorf("%s does not name TensorRT (libnvinfer)", path)
	}
	return infer, nil
}

// appendTensorRT makes the TensorRT provider the session's first, with engines in dir, and CUDA's the second, for what TensorRT has no
// implementation of.
func appendTensorRT(options *ort.SessionOptions, device Device, cuda CUDAOptions, provider map[string]string) (err error) {
	rt, err := ort.NewTensorRTProviderOptions()
	if err != nil {
		return fmt.Errorf("TensorRT provider options: %w", err)
	}
	defer func() { err = errors.Join(err, rt.Destroy()) }()
	if err := rt.Update(provider); err != nil {
		return fmt.Errorf("TensorRT provider options: %w", err)
	}
	if err := options.AppendExecutionProviderTensorRT(rt); err != nil {
		return fmt.Errorf("TensorRT provider: %w", err)
	}
	return appendCUDA(options, device, cuda, false)
}

// provider returns the provider's own options. Engines are cached without a hash of their shapes, so dir belongs to one set of them.
func (o TensorRTOptions) provider(device Device, fp16 bool, dir, timing string) map[string]string {
	return map[string]string{
		"device_id":               strconv.Itoa(device.Index),
		"trt_fp16_enable":         flag(fp16),
		"trt_engine_cache_enable": "1",
		"trt_engine_cache_path":   dir,
		"trt_timing_cache_enable": "1",
		"trt_timing_cache_path":   timing,
	}
}

// An EngineKey is all that an engine depends on: one that was built for another key must not be loaded. ONNX Runtime names the files of
// engines after the graph alone, without its weights, so that models of one architecture would share one (microsoft/onnxruntime#6455).
type EngineKey struct {
	GPU, Driver, CUDA, TensorRT, Runtime string // of the machine

	Model  string // SHA-256 of model.onnx and its external data
	Graph  string // changes of the graph
	Shapes string // of the inputs
	FP16   bool
}

// machine is the part of the key that other engines of the machine have as well.
func (k EngineKey) machine() string {
	return fmt.Sprintf("gpu %s\ndriver %s\ncuda %s\ntensorrt %s\nonnxruntime %s\n", k.GPU, k.Driver, k.CUDA, k.TensorRT, k.Runtime)
}

// String has a line for each part.
func (k EngineKey) String() string {
	return fmt.Sprintf("%smodel %s\ngraph %s\nshapes %s\nfp16 %t\n", k.machine(), k.Model, k.Graph, k.Shapes, k.FP16)
}

// folders creates the folder of the key's engine below cache, with a file that says what the engine is for, and that of the machine's
// timings, which shorten builds.
func (k EngineKey) folders(cache string) (engine, timing string, err error) {
	name := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return hex.EncodeToString(sum[:16])
	}
	engine, timing = filepath.Join(cache, name(k.String())), filepath.Join(cache, "timing-"+name(k.machine()))
	err = errors.Join(os.MkdirAll(engine, 0o700), os.MkdirAll(timing, 0o700)) // an engine is code
	if err == nil {
		err = os.WriteFile(filepath.Join(engine, "key.txt"), []byte(k.String()), 0o600)
	}
	if err != nil {
		return "", "", fmt.Errorf("inference.tensorrt.cache: %w", err)
	}
	return engine, timing, nil
}

// machineKey is the part of the key of a device's engines that the machine decides.
func machineKey(device Device) (k EngineKey, err error) {
	infer, err := openTensorRT()
	if err != nil {
		return k, err
	}
	cuda, err := openCUDA()
	if err != nil {
		return k, err
	}
	version, err := infer.InferVersion()
	if err != nil {
		return k, err
	}
	driver, runtime, err := cuda.Versions()
	if err != nil {
		return k, err
	}
	h, err := cuda.Hardware(device.Index)
	if err != nil {
		return k, err
	}
	return EngineKey{GPU: fmt.Sprintf("sm_%d%d, %d multiprocessors, %d bytes", h.Major, h.Minor, h.Multiprocessors, h.Memory),
		Driver: fmt.Sprintf("%s, CUDA %d", cmp.Or(driverVersion("/sys/module/nvidia/version"), "unknown"), driver), CUDA: strconv.Itoa(runtime),
		TensorRT: strconv.Itoa(version), Runtime: Version()}, nil
}

// driverVersion is the version in a file of the NVIDIA driver's kernel module; empty if it cannot be read.
func driverVersion(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// hashModel returns the SHA-256 of an ONNX file and its external data.
func hashModel(path string) (string, error) {
	sum := sha256.New()
	add := func(path string) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(sum, file)
		return err
	}
	external, err := externalData(path)
	if err == nil {
		err = add(path)
	}
	for _, location := range external {
		fmt.Fprintf(sum, " %s ", location)
		err = errors.Join(err, add(filepath.Join(filepath.Dir(path), location)))
	}
	return hex.EncodeToString(sum.Sum(nil)), err
}

// externalData lists the files of external data of the ONNX file at path.
func externalData(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	stat, err := file.Stat()
	if err != nil {
		return nil, err
	}
	files, err := repository.ExternalData(file, stat.Size())
	return slices.Sorted(maps.Keys(files)), err
}
