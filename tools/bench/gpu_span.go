package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"fovea/gpu"
	"fovea/inference/onnx"
	"fovea/tools/bench/proc"
)

// span is a measurement of ongoing work.
type span struct {
	seconds float64
	images  int64
	running time.Duration // total duration of runs, over all instances
	cpu     time.Duration // of this process
	gpu     *float64      // mean utilization, 0 to 1; nil: unknown
}

// span starts work, waits for a third of the measuring time, and measures. work counts its images and returns when ctx
// ends; returning earlier is an error.
func (b *groupBench) span(ctx context.Context, running *atomic.Int64, work func(context.Context, *atomic.Int64) error) (span, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var done atomic.Int64
	ended := make(chan error, 1)
	go func() { ended <- work(ctx, &done) }()
	select {
	case err := <-ended:
		return span{}, err
	case <-time.After(b.o.GPU.Measure / 3):
	}
	from, images, ran, cpu := time.Now(), done.Load(), running.Load(), proc.OwnCPU()
	utilization := b.gpu.mean(ctx, b.o.GPU.Measure)
	s := span{seconds: time.Since(from).Seconds(), images: done.Load() - images,
		running: time.Duration(running.Load() - ran), cpu: proc.OwnCPU() - cpu, gpu: utilization}
	cancel()
	return s, <-ended
}

// timedRun runs a batch and adds the time to running.
func timedRun(batch *onnx.Batch, size int, running *atomic.Int64) error {
	start := time.Now()
	err := batch.Run(context.Background(), size)
	running.Add(int64(time.Since(start)))
	return err
}

// utilization samples how busy the GPU is.
type utilization struct {
	nvml *gpu.NVML // nil: not available
}

// openUtilization opens NVML; without it, utilization is unknown.
func openUtilization(library string) *utilization {
	nvml, err := gpu.Open(library)
	if err != nil {
		return &utilization{}
	}
	return &utilization{nvml}
}

// mean samples the first visible GPU ten times per second and returns its mean utilization. NVML averages over up to a
// second, so the GPU must be busy before.
func (u *utilization) mean(ctx context.Context, d time.Duration) *float64 {
	end := time.After(d)
	sum, n := 0.0, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-end:
			if n == 0 {
				return nil
			}
			sum /= float64(n)
			return &sum
		case <-time.After(100 * time.Millisecond):
		}
		if now := u.now(ctx); now != nil {
			sum, n = sum+*now, n+1
		}
	}
}

func (u *utilization) now(ctx context.Context) *float64 {
	if u.nvml == nil {
		return nil
	}
	device, _, err := measuredGPU(ctx, u.nvml)
	if err != nil {
		return nil
	}
	return device.Utilization
}

// measuredGPU returns the first GPU that CUDA shows to this process, and its driver.
func measuredGPU(ctx context.Context, nvml *gpu.NVML) (gpu.Device, gpu.Driver, error) {
	inventory, err := nvml.Inventory(ctx)
	if err != nil {
		return gpu.Device{}, gpu.Driver{}, err
	}
	visible, err := gpu.ResolveVisibleDevices(inventory.Devices, os.LookupEnv)
	if err != nil {
		return gpu.Device{}, inventory.Driver, err
	}
	uuid, err := visible.UUID(0)
	if err != nil {
		return gpu.Device{}, inventory.Driver, err
	}
	at := slices.IndexFunc(inventory.Devices, func(d gpu.Device) bool { return d.UUID == uuid })
	if at < 0 {
		return gpu.Device{}, inventory.Driver, fmt.Errorf("%s is a part of a GPU", uuid)
	}
	return inventory.Devices[at], inventory.Driver, nil
}

func (u *utilization) close() {
	if u.nvml != nil {
		_ = u.nvml.Close() // the process exits
	}
}

// take computes the figures of a span while instances ran batches of a size.
func (c *gpuCase) take(s span, instances, size int) {
	if s.seconds == 0 {
		return
	}
	c.PerSecond = float64(s.images) / s.seconds
	c.GPU = s.gpu
	c.CPU = s.cpu.Seconds() / s.seconds / float64(runtime.GOMAXPROCS(0))
	c.Busy = s.running.Seconds() / s.seconds / float64(instances)
	c.CopyGB = c.PerSecond * float64(c.RowBytes) / 1e9
	if size > 0 && s.images > 0 {
		c.RunMS = s.running.Seconds() * 1000 * float64(size) / float64(s.images)
	}
}
