package inference

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/repository"
)

// Config is what an operator decides about inference. Sizes are bytes unless the key says otherwise.
type Config struct {
	Library        string        `yaml:"library" usage:"libonnxruntime.so; empty: searched for"`
	Device         string        `yaml:"device" usage:"auto, cpu, cuda or cuda:N, for models that name none"`
	Models         []ModelConfig `yaml:"models" usage:"models to serve, as NAME or NAME:required; empty: all of the repository"`
	Default        string        `yaml:"default" usage:"the model of POST /predict; empty: the first"`
	Workers        int           `yaml:"workers" usage:"images decoded, and batches run on the CPU, at once; 0: one more than cores"`
	MaxPixels      int64         `yaml:"max_pixels" usage:"pixels of an image; those of more than 32 bits count for more"`
	Instances      int           `yaml:"instances" usage:"instances per device, for models that name none; 0: one per core on the CPU, one on a GPU"`
	Threads        int           `yaml:"threads" usage:"threads within one operator on the CPU, while several images are in the server"`
	ThreadsAlone   int           `yaml:"threads_alone" usage:"threads within one operator on the CPU for an image that is alone in the server; 0: one per core, for models up to 256 MiB, since their weights are in memory twice then; 1: none, they are there once"`
	SaturatingInt8 bool          `yaml:"saturating_int8" usage:"on an x86 CPU without VNNI, cut sums of int8 products off at 16 bits: faster, and answers may be wrong; elsewhere without effect"`
	LoadTimeout    time.Duration `yaml:"load_timeout" usage:"time for one version of a model to be loaded, run in every batch size and tested"`
	CUDA           CUDAConfig    `yaml:"cuda"`
}

// ModelConfig is one model to be served.
type ModelConfig struct {
	Name     string `yaml:"name"`
	Required bool   `yaml:"required"` // the server does not start, and is not ready, without it
}

// CUDAConfig tunes sessions on CUDA devices.
type CUDAConfig struct {
	MemLimit   int64  `yaml:"mem_limit" usage:"bytes of a session's arena on a GPU; 0: four fifths of what is free when it is made"`
	ConvSearch string `yaml:"conv_search" usage:"HEURISTIC, EXHAUSTIVE or DEFAULT"`
	NoTF32     bool   `yaml:"no_tf32" usage:"full float32 in convolutions"`
	PreferNHWC bool   `yaml:"prefer_nhwc" usage:"channels last in convolutions"`
	RefuseCPU  bool   `yaml:"refuse_cpu" usage:"do not load a model of which parts would run on the CPU"`
}

// Defaults is the configuration of a server that is told nothing.
func Defaults() Config {
	return Config{Device: "auto", MaxPixels: 50_000_000, Threads: 1, LoadTimeout: 5 * time.Minute,
		CUDA: CUDAConfig{ConvSearch: "HEURISTIC"}}
}

// bounds of the whole numbers that Validate checks.
const (
	mostWorkers   = 1024
	leastPixels   = 10_000
	mostPixels    = math.MaxInt32 / 3 // gocv counts the bytes of an image's three channels in 32 bits
	mostInstances = 256

	leastLoadTimeout, mostLoadTimeout = 100 * time.Millisecond, 24 * time.Hour
)

// Validate names every key whose value is not allowed.
func (c Config) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	between := func(key string, value, low, high int64) {
		if value < low || value > high {
			wrong(key, "is %d; allowed is %d to %d", value, low, high)
		}
	}
	if _, err := onnx.ParseDevice(c.Device); err != nil {
		wrong("device", "%v", err)
	}
	between("workers", int64(c.Workers), 0, mostWorkers)
	between("max_pixels", c.MaxPixels, leastPixels, mostPixels)
	between("instances", int64(c.Instances), 0, mostInstances)
	between("threads", int64(c.Threads), 0, mostWorkers)
	between("threads_alone", int64(c.ThreadsAlone), 0, mostWorkers)
	if c.LoadTimeout < leastLoadTimeout || c.LoadTimeout > mostLoadTimeout {
		wrong("load_timeout", "is %s; allowed is %s to %s", c.LoadTimeout, leastLoadTimeout, mostLoadTimeout)
	}
	if err := c.CUDA.options().Validate(); err != nil {
		wrong("cuda", "%v", err)
	}
	return errors.Join(append(errs, c.validateModels()...)...)
}

func (c Config) validateModels() (errs []error) {
	for i, m := range c.Models {
		switch {
		case m.Name == "":
			errs = append(errs, fmt.Errorf("models[%d].name: is missing", i))
		case !repository.ValidName(m.Name):
			errs = append(errs, fmt.Errorf("models[%d].name: %q cannot be the name of a model", i, m.Name))
		}
		if first := c.index(m.Name); first < i {
			errs = append(errs, fmt.Errorf("models[%d].name: %q is listed already as models[%d]", i, m.Name, first))
		}
	}
	if c.Default != "" && len(c.Models) > 0 && c.index(c.Default) < 0 {
		errs = append(errs, fmt.Errorf("default: model %q is not listed under models", c.Default))
	}
	return errs
}

func (c Config) index(name string) int {
	return slices.IndexFunc(c.Models, func(m ModelConfig) bool { return m.Name == name })
}

// required says whether the server must not run without the model.
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
	return runtime.GOMAXPROCS(0) + 1
}

func (c CUDAConfig) options() onnx.CUDAOptions {
	return onnx.CUDAOptions{MemLimit: c.MemLimit, ConvSearch: c.ConvSearch, NoTF32: c.NoTF32, PreferNHWC: c.PreferNHWC,
		RefuseCPU: c.RefuseCPU}
}
