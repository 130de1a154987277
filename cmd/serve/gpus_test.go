package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fovea/gpu"
	"fovea/gpu/simnvml"
	"fovea/health"
)

const gpu0 = "GPU-f0ea0000-0000-4000-8000-000000000000"

// h100 describes a machine with one healthy GPU.
func h100(t *testing.T) *simnvml.File {
	t.Helper()
	return simnvml.New(t, map[string]string{
		"driver": "580.95.05", "cuda": "13000", "gpu0.uuid": gpu0, "gpu0.name": "H100", "gpu0.pci": "00000000:18:00.0",
		"gpu0.memory.total": "85520809984", "gpu0.memory.used": "1073741824", "gpu0.utilization": "37", "gpu0.power": "123.5",
		"gpu0.temperature": "45", "gpu0.recovery": "0",
	})
}

func TestGPUMetrics(t *testing.T) {
	h100(t)
	p := start(t, newRepository(t), "--gpu.library="+simnvml.Library(t)).waitReady()
	metrics := p.get("/metrics").body
	for _, name := range []string{"utilization_ratio", "memory_used_bytes", "memory_total_bytes", "power_watts", "temperature_celsius", "up"} {
		if !strings.Contains(metrics, "fovea_gpu_"+name+`{uuid="`+gpu0+`"} `) {
			t.Errorf("no fovea_gpu_%s", name)
		}
	}
	p.good()
}

func TestServerIsReadyOnlyWhileItsGPUResponds(t *testing.T) {
	file := h100(t)
	log := slog.New(slog.DiscardHandler)
	g := openGPUs(GPUConfig{Library: simnvml.Library(t), Check: 10 * time.Millisecond}, log)
	defer g.close(log)
	if checks := g.checks("cpu", nil); len(checks) != 0 {
		t.Errorf("%d checks on the CPU", len(checks))
	}
	var untouchable atomic.Bool
	checks := g.checks("cuda:0", func(context.Context) error {
		if untouchable.Load() {
			return errors.New("CUDA error 999")
		}
		return nil
	})
	if len(checks) != 1 {
		t.Fatalf("%d checks", len(checks))
	}
	if found := checks[0](); len(found.Reasons) != 0 || found.GPULost {
		t.Fatalf("a healthy GPU: %+v", found)
	}
	eventually := func(what string, is func(health.Finding) bool) {
		t.Helper()
		for range 500 {
			if is(checks[0]()) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("never: %s", what)
	}
	file.Set("gpu0.lost", "1")
	eventually("the lost GPU is a reason", func(f health.Finding) bool {
		return f.GPULost && len(f.Reasons) == 1 && strings.HasPrefix(f.Reasons[0], "cuda:0: ")
	})
	file.Delete("gpu0.lost")
	eventually("the GPU is back", func(f health.Finding) bool { return !f.GPULost && len(f.Reasons) == 0 })
	untouchable.Store(true)
	eventually("CUDA's error is a reason", func(f health.Finding) bool {
		return !f.GPULost && len(f.Reasons) == 1 && f.Reasons[0] == "cuda:0: CUDA error 999"
	})
	unwatched := &gpus{cfg: g.cfg}
	touched := unwatched.checks("cuda:0", func(context.Context) error { return errors.New("CUDA error 100") })
	if reasons := touched[0]().Reasons; len(reasons) != 1 || reasons[0] != "cuda:0: CUDA error 100" {
		t.Errorf("without the driver's library: %q", reasons)
	}
	missing := g.checks("cuda:7", nil)
	if found := missing[0](); !found.GPULost || len(found.Reasons) != 1 || !strings.Contains(found.Reasons[0], "cuda:7") {
		t.Errorf("a missing GPU: %+v", found)
	}
	for _, slow := range []error{gpu.ErrUnresponsive, context.DeadlineExceeded} {
		if errors.Is(asLost(slow), health.ErrGPULost) {
			t.Errorf("%v reports a lost GPU", slow)
		}
	}
}
