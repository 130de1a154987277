package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"fovea/gpu"
	"fovea/health"

	"github.com/prometheus/client_golang/prometheus"
)

// gpuLimit is how long a GPU may take to answer before the server isn't ready.
const gpuLimit = 2 * time.Second

// cudaVersion is that of the runtime that Fovea is built for.
const cudaVersion = "13.0"

// gpus is the NVIDIA driver, where there is one.
type gpus struct {
	cfg  GPUConfig
	nvml *gpu.NVML // nil without a driver
}

func openGPUs(cfg GPUConfig, log *slog.Logger) *gpus {
	nvml, err := gpu.Open(cfg.Library)
	switch {
	case errors.Is(err, gpu.ErrNoLibrary), errors.Is(err, gpu.ErrNoDriver):
		log.Debug("no GPUs", "reason", err.Error())
	case err != nil:
		log.Warn("GPUs are not watched", "error", err.Error())
	}
	if err != nil {
		return &gpus{cfg: cfg}
	}
	return &gpus{cfg, nvml}
}

func (g *gpus) collectors() []prometheus.Collector {
	if g.nvml == nil {
		return nil
	}
	return []prometheus.Collector{gpu.NewCollector(g.nvml, g.cfg.Check)}
}

// fits holds the device that is wanted against the driver, before CUDA would answer with no more than a number. With a
// driver that is too old, a CUDA device is an error, and auto becomes the CPU.
func (g *gpus) fits(ctx context.Context, want string, log *slog.Logger) (device string, err error) {
	if g.nvml == nil || want == "cpu" {
		return want, nil
	}
	driver, err := g.nvml.Driver(ctx)
	if err != nil {
		log.Warn("the driver's version is unknown", "error", err.Error())
		return want, nil
	}
	old := driver.Check(cudaVersion)
	switch {
	case old == nil:
		return want, nil
	case want == "auto":
		log.Warn("device auto takes the CPU", "why", old.Error())
		return "cpu", nil
	default:
		return "", fmt.Errorf("inference.device %s: %w", want, old)
	}
}

// checks asks the GPU that the engine chose whether it answers: the driver, where it is watched, and then CUDA
// itself, since a container can lose one and keep the other. On the CPU there is nothing to ask.
func (g *gpus) checks(device string, touch health.Probe) []health.Check {
	number, isCUDA := strings.CutPrefix(device, "cuda:")
	index, err := strconv.Atoi(number)
	if !isCUDA || err != nil {
		return nil
	}
	answers := func(ctx context.Context) error {
		if err := g.answers(ctx, index); err != nil {
			return lost(err)
		}
		if err := touch(ctx); err != nil {
			return err
		}
		if err := gpu.Reachable(gpu.ControlDevice); err != nil {
			return fmt.Errorf("%w: %w", health.ErrGPUDetached, err)
		}
		return nil
	}
	return []health.Check{health.Cached(device, answers, g.cfg.Check, gpuLimit)}
}

// lost marks what the driver says about a GPU that it no longer finds or reaches. An answer that only takes its time says
// nothing of the kind.
func lost(err error) error {
	for _, slow := range []error{gpu.ErrNotAnswering, gpu.ErrClosed, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, slow) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", health.ErrGPULost, err)
}

// answers asks the driver about the GPU that CUDA counts as index.
func (g *gpus) answers(ctx context.Context, index int) error {
	if g.nvml == nil {
		return nil
	}
	visible, err := g.nvml.VisibleDevices(ctx)
	if err != nil {
		return err
	}
	uuid, err := visible.UUID(index)
	if err != nil {
		return err
	}
	return g.nvml.Ping(ctx, uuid)
}

func (g *gpus) close(log *slog.Logger) {
	if g.nvml == nil {
		return
	}
	if err := g.nvml.Close(); err != nil {
		log.Warn("close NVML", "error", err.Error())
	}
}
