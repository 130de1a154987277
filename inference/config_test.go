package inference

import (
	"slices"
	"strings"
	"testing"

	"fovea/inference/onnx"
	"fovea/internal/config"
)

func TestConfigErrors(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   []string // nil: allowed
	}{
		"the defaults": {change: func(*Config) {}},
		"everything given": {change: func(c *Config) {
			c.Device, c.Models, c.Default = "cuda:3", []ModelConfig{{Name: "a"}, {Name: "b", Required: true}}, "b"
			c.Workers, c.Instances, c.Threads, c.MaxPixels = 4, 2, 2, 1_000_000
			c.CUDA = CUDAConfig{MemLimit: 1 << 30, ConvSearch: "EXHAUSTIVE", NoTF32: true}
		}},
		"everything wrong at once": {
			change: func(c *Config) {
				c.Device, c.Workers, c.Instances, c.Threads, c.MaxPixels = "gpu", -1, -1, -1, 1
				c.Models, c.Default = []ModelConfig{{Name: "a"}, {}, {Name: "a"}}, "c"
				c.CUDA = CUDAConfig{ConvSearch: "best"}
			},
			want: []string{"device:", "workers: -1 is out of range (0–1024)", "instances:", "threads:", "max_pixels:",
				"models[1].name: is required", `models[2].name: "a" is already listed as models[0]`,
				`default: model "c" is not listed`, `cuda.conv_search: "best" is not one of HEURISTIC, EXHAUSTIVE, DEFAULT`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			test.change(&c)
			err := config.Check(c)
			if (err == nil) != (test.want == nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"a wrong value":               {change: func(c *Config) { c.Threads = -1 }, want: "threads"},
		"a library that is not there": {change: func(c *Config) { c.Library = "/nowhere.so" }, want: "/nowhere.so"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			test.change(&c)
			if _, err := New(c, nil, nil, nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New said %v, want %q", err, test.want)
			}
		})
	}
}

func TestSizesOfBatches(t *testing.T) {
	for name, test := range map[string]struct {
		device onnx.Device
		size   int
		want   []int
	}{
		"the CPU runs one row by default":         {onnx.Device{Kind: onnx.CPU}, 0, []int{1}},
		"the CPU runs any number of rows":         {onnx.Device{Kind: onnx.CPU}, 3, []int{1, 2, 3}},
		"CUDA runs up to eight by default":        {onnx.Device{Kind: onnx.CUDA}, 0, []int{1, 2, 4, 8}},
		"CUDA runs powers of two and the largest": {onnx.Device{Kind: onnx.CUDA}, 12, []int{1, 2, 4, 8, 12}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := batchSizes(test.device, test.size, 0); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
			if got := batchSizes(test.device, 2, 4); !slices.Equal(got, []int{4}) {
				t.Errorf("a file made for four runs %v", got)
			}
		})
	}
}
