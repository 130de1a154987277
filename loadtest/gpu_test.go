package loadtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"fovea/gpu"
	"fovea/gpu/simnvml"
)

func TestGPUsAreSampledDuringTheLoad(t *testing.T) {
	simnvml.New(t, simnvml.Machine(2))
	s := newFakeServer(t)
	s.answer = slow(time.Millisecond)
	c := quick(t, s)
	c.GPU, c.NVML, c.GPUInterval = true, simnvml.Library(t), 10*time.Millisecond
	c.Window, c.WindowCount = 150*time.Millisecond, 1
	r := ran(t, s, c)
	if len(r.GPUs) != 2 || r.GPUs[1].UUID != simnvml.UUID(1) || len(r.GPUs[0].Samples) < 2 || r.GPUs[0].Driver != "580.95.05" {
		t.Fatalf("got %+v", r.GPUs)
	}
	l := r.Levels[0]
	if len(l.GPUs) != 2 {
		t.Fatalf("got %+v", l.GPUs)
	}
	g := l.GPUs[0]
	if g.Utilization == nil || *g.Utilization != 0.37 || g.Watts == nil || *g.Watts != 123.46 || *g.MemoryBytes != 1<<30 {
		t.Errorf("got %+v", g)
	}
	if want := l.Throughput / (2 * 123.456); l.ImagesPerJoule == nil || *l.ImagesPerJoule < 0.99*want || *l.ImagesPerJoule > 1.01*want {
		t.Errorf("images per joule %v, want %g by the energy of both", l.ImagesPerJoule, want)
	}
}

func TestOpenGPUs(t *testing.T) {
	c := Config{GPU: true, NVML: "/no/such/libnvidia-ml.so"}
	if _, _, err := openGPUs(c); !errors.Is(err, gpu.ErrNoLibrary) {
		t.Errorf("got %v", err)
	}
	if n, note, err := openGPUs(Config{}); n != nil || note != "" || err != nil {
		t.Errorf("not asked for: %v, %q, %v", n, note, err)
	}
}

// turns gives one inventory after the other.
type turns struct{ list []gpu.Inventory }

func (s *turns) Inventory(ctx context.Context) (gpu.Inventory, error) {
	if len(s.list) == 0 {
		return gpu.Inventory{}, errors.New("the driver is gone")
	}
	first := s.list[0]
	s.list = s.list[1:]
	return first, nil
}

func device(uuid string, share, watts float64, used uint64) gpu.Device {
	return gpu.Device{UUID: uuid, Utilization: &share, PowerWatts: &watts, Memory: &gpu.Memory{Used: used}}
}

func TestALevelSeesOnlyItsOwnSamples(t *testing.T) {
	s := &sampler{}
	for second, d := range []gpu.Device{
		device("a", 1, 900, 9000), device("a", 0.2, 100, 10), device("a", 0.4, 300, 20), {UUID: "a", Err: gpu.ErrLost}, device("a", 1, 900, 9000),
	} {
		s.take(time.Duration(second)*time.Second, gpu.Inventory{Devices: []gpu.Device{d}}, nil)
	}
	got := s.between(500*time.Millisecond, 3500*time.Millisecond)
	if len(got) != 1 || *got[0].Utilization != 0.3 || *got[0].Watts != 200 || *got[0].MemoryBytes != 20 {
		t.Errorf("got %+v", got)
	}
	if s.err == nil || !errors.Is(s.err, gpu.ErrLost) {
		t.Errorf("the lost GPU is not reported: %v", s.err)
	}
}

func TestImagesPerJouleAreByTheEnergyOfAllGPUs(t *testing.T) {
	watts := func(v float64) *float64 { return &v }
	for _, test := range []struct {
		name string
		gpus []GPULevel
		want float64 // of 1200 images in 3 s; 0: not known
	}{
		{"one GPU", []GPULevel{{Watts: watts(200)}}, 2},
		{"two GPUs", []GPULevel{{Watts: watts(200)}, {Watts: watts(300)}}, 0.8},
		{"two GPUs of which one does not tell", []GPULevel{{Watts: watts(200)}, {}}, 0},
		{"no power", []GPULevel{{Watts: watts(0)}}, 0},
		{"no GPU", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := imagesPerJoule(test.gpus, 3*time.Second, 1200)
			if (got == nil) != (test.want == 0) || got != nil && *got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestASamplerEndsAndTellsItsFirstError(t *testing.T) {
	s := startSampler(t.Context(), &turns{list: []gpu.Inventory{{Devices: []gpu.Device{{UUID: "a", Name: "x"}}}}}, time.Millisecond, time.Now())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		failed := s.err != nil
		s.mu.Unlock()
		if failed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it meets no error")
		}
	}
	list, err := s.end()
	if len(list) != 1 || list[0].Name != "x" || !strings.Contains(err.Error(), "the driver is gone") {
		t.Errorf("%+v, %v", list, err)
	}
	if level := s.between(0, time.Hour)[0]; level.Utilization != nil || level.Watts != nil {
		t.Errorf("values that the GPU does not tell: %+v", level)
	}
}

// busyFrom is an inventory of one GPU that is idle before a moment and busy after it.
type busyFrom time.Time

func (b busyFrom) Inventory(context.Context) (gpu.Inventory, error) {
	share := 0.0
	if !time.Now().Before(time.Time(b)) {
		share = 1
	}
	return gpu.Inventory{Devices: []gpu.Device{device("a", share, 100, 1)}}, nil
}

func TestGPUFiguresExcludeTheWarmUp(t *testing.T) {
	inBubble(func(t *testing.T) {
		s := newFakeServer(t)
		c := quick(t, s)
		c.Warmup = time.Second
		p := prepared(t, s, c)
		began := time.Now()
		r := &run{plan: p, began: began, result: p.emptyResult(), onProgress: func(Progress) {}}
		r.sampler = startSampler(t.Context(), busyFrom(began.Add(1500*time.Millisecond)), time.Millisecond, began)
		time.Sleep(500 * time.Millisecond) // an earlier level
		level, err := r.level(t.Context(), Level{Concurrency: 1}, 0)
		if _, samplerErr := r.sampler.end(); err != nil || samplerErr != nil {
			t.Fatal(err, samplerErr)
		}
		if len(level.GPUs) != 1 || level.GPUs[0].Utilization == nil || *level.GPUs[0].Utilization != 1 {
			t.Errorf("got %+v", level.GPUs)
		}
	})(t)
}
