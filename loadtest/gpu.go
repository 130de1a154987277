package loadtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"fovea/gpu"
)

// GPU is one GPU over the whole test. Values that the GPU does not report are absent.
type GPU struct {
	Index   int         `json:"index"`
	UUID    string      `json:"uuid"`
	Name    string      `json:"name"`
	Driver  string      `json:"driver,omitempty"`
	Samples []GPUSample `json:"samples"`
}

// GPUSample is one sample of a GPU.
type GPUSample struct {
	Seconds     float64  `json:"s"` // from the start of the test
	Utilization *float64 `json:"utilization,omitempty"`
	MemoryBytes *float64 `json:"memory_bytes,omitempty"`
	Watts       *float64 `json:"watts,omitempty"`
}

// GPULevel holds the figures of a GPU over a level's last windows.
type GPULevel struct {
	UUID        string   `json:"uuid"`
	Utilization *float64 `json:"utilization,omitempty"` // mean, 0 to 1
	MemoryBytes *float64 `json:"memory_bytes,omitempty"`
	Watts       *float64 `json:"watts,omitempty"` // mean
}

// inventory is what the sampler needs of gpu.NVML.
type inventory interface {
	Inventory(context.Context) (gpu.Inventory, error)
}

// sampler reads the GPUs at an interval until it is stopped.
type sampler struct {
	nvml     inventory
	interval time.Duration
	began    time.Time
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu   sync.Mutex
	gpus []GPU
	err  error // the first
}

// startSampler starts sampling. The caller must call end.
func startSampler(ctx context.Context, nvml inventory, interval time.Duration, began time.Time) *sampler {
	ctx, stop := context.WithCancel(ctx)
	s := &sampler{nvml: nvml, interval: interval, began: began, stop: stop}
	s.done.Go(func() { s.run(ctx) })
	return s
}

func (s *sampler) run(ctx context.Context) {
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		now := time.Since(s.began)
		inventory, err := s.nvml.Inventory(ctx)
		if ctx.Err() != nil {
			return
		}
		s.take(now, inventory, err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *sampler) take(now time.Duration, inventory gpu.Inventory, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fail(err)
		return
	}
	for _, d := range inventory.Devices {
		if d.Err != nil {
			s.fail(d.Err)
			continue
		}
		i := slices.IndexFunc(s.gpus, func(g GPU) bool { return g.UUID == d.UUID })
		if i < 0 {
			i = len(s.gpus)
			s.gpus = append(s.gpus, GPU{Index: d.Index, UUID: d.UUID, Name: d.Name, Driver: inventory.Driver.Version})
		}
		sample := GPUSample{Seconds: round(now.Seconds()), Utilization: d.Utilization, Watts: d.PowerWatts}
		if d.Memory != nil {
			sample.MemoryBytes = new(float64(d.Memory.Used))
		}
		s.gpus[i].Samples = append(s.gpus[i].Samples, sample)
	}
}

func (s *sampler) fail(err error) {
	if s.err == nil {
		s.err = fmt.Errorf("GPUs: %w", err)
	}
}

// end stops the sampler and returns its samples and the first error.
func (s *sampler) end() ([]GPU, error) {
	s.stop()
	s.done.Wait()
	return s.gpus, s.err
}

// between aggregates each GPU over a span of the test.
func (s *sampler) between(from, to time.Duration) []GPULevel {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []GPULevel
	for _, g := range s.gpus {
		var values [3][]float64 // utilization, memory, watts
		for _, sample := range g.Samples {
			if sample.Seconds < from.Seconds() || sample.Seconds > to.Seconds() {
				continue
			}
			for i, v := range []*float64{sample.Utilization, sample.MemoryBytes, sample.Watts} {
				if v != nil {
					values[i] = append(values[i], *v)
				}
			}
		}
		l := GPULevel{UUID: g.UUID, Utilization: mean(values[0]), Watts: mean(values[2])}
		if len(values[1]) > 0 {
			l.MemoryBytes = new(slices.Max(values[1]))
		}
		list = append(list, l)
	}
	return list
}

// imagesPerJoule divides a number of images by the energy of all GPUs, since it is unknown which GPU an image ran on. It is
// nil if the power of one GPU is unknown.
func imagesPerJoule(list []GPULevel, span time.Duration, images int) *float64 {
	watts := 0.0
	for _, g := range list {
		if g.Watts == nil {
			return nil
		}
		watts += *g.Watts
	}
	if watts <= 0 || span <= 0 {
		return nil
	}
	return new(round(float64(images) / (watts * span.Seconds())))
}

func mean(values []float64) *float64 {
	if len(values) == 0 {
		return nil
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return new(round(sum / float64(len(values))))
}

// openGPUs opens NVML. A machine without GPUs is not an error; note then says why there are none.
func openGPUs(c Config) (n *gpu.NVML, note string, err error) {
	if !c.GPU {
		return nil, "", nil
	}
	n, err = gpu.Open(c.NVML)
	if c.NVML == "" && (errors.Is(err, gpu.ErrNoLibrary) || errors.Is(err, gpu.ErrNoDriver)) {
		return nil, "GPUs are not sampled: " + err.Error(), nil
	}
	return n, "", err
}
