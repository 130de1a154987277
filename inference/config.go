package inference

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/config"
	"fovea/internal/cores"
	"fovea/internal/repository"
)

// Config is section inference of the server's configuration.
type Config struct {
	Library        string        `yaml:"library" help:"path of libonnxruntime.so; empty: search for it"`
	Device         string        `yaml:"device" help:"auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N, for models that name no device"`
	Models         []ModelConfig `yaml:"models" help:"models to serve, as NAME or NAME:required; empty: all in the repository"`
	Default        string        `yaml:"default" help:"model used by POST /predict; empty: the only one, and an error if there are several"`
	Workers        int           `yaml:"workers" range:"0..1024" help:"images decoded, and batches run on the CPU, at the same time; 0: cores + 1"`
	MaxPixels      int64         `yaml:"max_pixels" range:"10000..715827882" help:"maximum pixels of an image; pixels of more than 32 bits count for more"` // gocv counts the bytes of three channels in 32 bits
	Instances      int           `yaml:"instances" range:"0..256" help:"instances per device, for models that set none; 0: one per core on the CPU, one per GPU"`
	Threads        int           `yaml:"threads" range:"0..1024" help:"threads per operator on the CPU; 0: one"`
	ThreadsAlone   int           `yaml:"threads_alone" range:"0..1024" help:"threads per operator on the CPU for a single image on an idle server; 0: one per core for models up to 256MiB, whose weights are then in memory twice; 1: off"`
	SaturatingInt8 bool          `yaml:"saturating_int8" help:"on x86 without VNNI, saturate int8 products at 16 bits: faster, but results may be wrong; no effect elsewhere"`
	LoadTimeout    time.Duration `yaml:"load_timeout" range:"100ms..24h" help:"time limit for loading and testing one version of a model"`
	MemoryBudget   config.Size   `yaml:"memory_budget" help:"memory for models on each device: they are loaded when first used, and those used least recently are unloaded for others; 0: all are loaded at start and kept"`
	CUDA           CUDAConfig    `yaml:"cuda"`

	TensorRT TensorRTConfig `yaml:"tensorrt"`

	// NormalizeInPacking has models normalize images while they are packed, whatever their input.normalize, so that variants may do it in
	// other ways and tensors are those of the ONNX file.
	NormalizeInPacking bool `yaml:"-"`
}

// ModelConfig is one model to be served.
type ModelConfig struct {
	Name     string `yaml:"name"`
	Required bool   `yaml:"required"` // the server does not start, and is not ready, without it
}

// UnmarshalText reads NAME or NAME:required.
func (m *ModelConfig) UnmarshalText(text []byte) error {
	name, option, has := strings.Cut(string(text), ":")
	if has && option != "required" {
		return fmt.Errorf("%q is neither NAME nor NAME:required", text)
	}
	*m = ModelConfig{Name: name, Required: has}
	return nil
}

// String is the form that UnmarshalText reads.
func (m ModelConfig) String() string {
	if m.Required {
		return m.Name + ":required"
	}
	return m.Name
}

// CUDAConfig is section inference.cuda of the server's configuration.
type CUDAConfig struct {
	MemLimit   config.Size `yaml:"mem_limit" help:"maximum GPU memory of a session's arena; 0: 80 % of the memory free when it is created"`
	ConvSearch string      `yaml:"conv_search" oneof:"HEURISTIC,EXHAUSTIVE,DEFAULT" help:"how cuDNN chooses convolution algorithms"`
	NoTF32     bool        `yaml:"no_tf32" help:"disable TF32: full float32 precision in convolutions and matrix products"`
	PreferNHWC bool        `yaml:"prefer_nhwc" help:"use channels-last (NHWC) convolutions"`
	RefuseCPU  bool        `yaml:"refuse_cpu" help:"fail to load a model if any operator would run on the CPU"`
}

// TensorRTConfig is section inference.tensorrt of the server's configuration.
type TensorRTConfig struct {
	Cache string `yaml:"cache" help:"folder of TensorRT's engines; empty: fovea/tensorrt in the user's cache folder"`
	FP16  bool   `yaml:"fp16" help:"compute in float16 with TensorRT where that is faster; models with a float16 input always do"`
}

// Defaults returns the default configuration.
func Defaults() Config {
	return Config{Device: "auto", MaxPixels: 50_000_000, Threads: 1, LoadTimeout: 5 * time.Minute,
		CUDA: CUDAConfig{ConvSearch: "HEURISTIC"}}
}

// Check implements config.Checker.
func (c Config) Check(errs *config.Errors) {
	if _, err := onnx.ParseDevice(c.Device); err != nil {
		errs.Add("device", "%q is not one of auto, cpu, cuda, cuda:N, tensorrt, tensorrt:N", c.Device)
	}
	for i, m := range c.Models {
		key := config.Index("models", i) + ".name"
		switch {
		case m.Name == "":
			errs.Add(key, "is required")
		case !repository.ValidName(m.Name):
			errs.Add(key, "%q is not a valid model name", m.Name)
		}
		if first := c.index(m.Name); first < i {
			errs.Add(key, "%q is already listed as models[%d]", m.Name, first)
		}
	}
	if c.Default != "" && len(c.Models) > 0 && c.index(c.Default) < 0 {
		errs.Add("default", "model %q is not listed under models", c.Default)
	}
}

func (c Config) index(name string) int {
	return slices.IndexFunc(c.Models, func(m ModelConfig) bool { return m.Name == name })
}

// required reports whether the server must not run without the model.
func (c Config) required(name string) bool {
	i := c.index(name)
	return i >= 0 && c.Models[i].Required
}

// workers are how many images are decoded and batches run at once. The one more than cores takes the time in which
// a thread is woken for the next: without it 3 % of the cores' time was idle with the classifier under full load, 6 %
// with MobileNetV2 int8, and 1 % with it.
func (c Config) workers() int {
	if c.Workers > 0 {
		return c.Workers
	}
	return cores.Count() + 1
}

func (c CUDAConfig) options() onnx.CUDAOptions {
	return onnx.CUDAOptions{MemLimit: int64(c.MemLimit), ConvSearch: c.ConvSearch, NoTF32: c.NoTF32, PreferNHWC: c.PreferNHWC,
		RefuseCPU: c.RefuseCPU}
}
