package inference

import (
	"strings"
	"testing"
)

func TestConfigNamesEveryMistake(t *testing.T) {
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
				c.CUDA = CUDAConfig{MemLimit: -1, ConvSearch: "best"}
			},
			want: []string{"device:", "workers: is -1; allowed is 0 to", "instances:", "threads:", "max_pixels:",
				"models[1].name: is missing", `models[2].name: "a" is listed already as models[0]`,
				`default: model "c" is not listed`, "cuda: memory limit -1", `convolution search "best"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Defaults()
			test.change(&c)
			err := c.Validate()
			if (err == nil) != (test.want == nil) {
				t.Fatalf("Validate said %v", err)
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
