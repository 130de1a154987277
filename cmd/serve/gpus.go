package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"fovea/gpu"
	"fovea/health"

	"github.com/prometheus/client_golang/prometheus"
)

// gpuTimeout is how long a GPU may take to respond before the server is not ready.
const gpuTimeout = 2 * time.Second

// cudaVersion is the CUDA runtime that Fovea is built for.
const cudaVersion = "13.0"

// gpus is the machine's NVIDIA driver, if it has one.
type gpus struct {
	cfg  GPUConfig
	nvml *gpu.NVML // nil without a driver
}

func openGPUs(cfg GPUConfig, log *slog.Logger) *gpus {
	nvml, err := gpu.Open(cfg.Library)
	switch {
	case errors.Is(err, gpu.ErrNoLibrary), errors.Is(err, gpu.ErrNoDriver):
		log.Debug("no GPUs", "reason", err)
	case err != nil:
		log.Warn("GPUs not monitored", "error", err)
	}
	return &gpus{cfg, nvml}
}

func (g *gpus) collectors() []prometheus.Collector {
	if g.nvml == nil {
		return nil
	}
	return []prometheus.Collector{gpu.NewCollector(g.nvml, g.cfg.Check)}
}

// checkDriver checks the driver's version for the wanted device, since CUDA itself would report no more than a number. With a
// driver that is too old, a CUDA device is an error, and auto becomes the CPU.
func (g *gpus) checkDriver(ctx context.Context, want string, log *slog.Logger) (device string, err error) {
	if g.nvml == nil || want == "cpu" {
		return want, nil
	}
	driver, err := g.nvml.Driver(ctx)
	if err != nil {
		log.Warn("driver version unknown", "error", err)
		return want, nil
	}
	tooOld := driver.Check(cudaVersion)
	switch {
	case tooOld == nil:
		return want, nil
	case want == "auto":
		log.Warn("device auto falls back to the CPU", "reason", tooOld)
		return "cpu", nil
	default:
		return "", fmt.Errorf("inference.device %s: %w", want, tooOld)
	}
}

// checks returns the health checks of the engine's GPU: the driver, where it is monitored, and then CUDA itself, since a
// container can lose one and keep the other. There are none on the CPU.
func (g *gpus) checks(device string, cuda health.SlowCheck) []health.Check {
	number, isCUDA := strings.CutPrefix(device, "cuda:")
	index, err := strconv.Atoi(number)
	if !isCUDA || err != nil {
		return nil
	}
	check := func(ctx context.Context) error {
		if err := g.responds(ctx, index); err != nil {
			return asLost(err)
		}
		if err := cuda(ctx); err != nil {
			return err
		}
		if err := gpu.Reachable(gpu.ControlDevice); err != nil {
			return fmt.Errorf("%w: %w", health.ErrGPUDetached, err)
		}
		return nil
	}
	return []health.Check{health.Cached(device, check, g.cfg.Check, gpuTimeout)}
}

// asLost marks an error of the driver as a lost GPU, unless the driver was only slow.
func asLost(err error) error {
	slow := []error{gpu.ErrUnresponsive, gpu.ErrClosed, context.DeadlineExceeded, context.Canceled}
	if slices.ContainsFunc(slow, func(s error) bool { return errors.Is(err, s) }) {
		return err
	}
	return fmt.Errorf("%w: %w", health.ErrGPULost, err)
}

// responds asks the driver for the GPU that CUDA counts as index.
func (g *gpus) responds(ctx context.Context, index int) error {
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
		log.Warn("close NVML", "error", err)
	}
}
