package onnx

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/inference/onnx/internal/native"
)

// An arena is the allocator from which ONNX Runtime takes the intermediate tensors of runs. It keeps the most memory that
// its runs ever needed. CPU sessions share as many as there are runs at once (internal/native); each CUDA session has its
// own, on its device. The C heap, which glibc divides into arenas as well, is configured in internal/native.

// cudaArenaStrategy makes a CUDA arena grow by the requested size. By powers of two it would reach its limit early.
const cudaArenaStrategy = "kSameAsRequested"

// useArenas makes a CPU session use the arenas. Weights stay outside them: those of an unloaded model would leave holes.
func useArenas(options *ort.SessionOptions) error {
	return errors.Join(
		options.AddSessionConfigEntry("session.use_env_allocators", "1"),
		options.AddSessionConfigEntry("session.use_device_allocator_for_initializers", "1"),
	)
}

// bounded returns o with a limit for the arena. ONNX Runtime has none by default, and an arena never returns memory: one
// model could take the whole GPU, and the next model, cuDNN, or a new version loaded alongside the old one would fail. A
// session may therefore take four fifths of what is free when it is created. Earlier models have run all their batch sizes
// by then and have what they need; the rest is for CUDA, cuDNN and cuBLAS, which allocate outside the arena.
func (o CUDAOptions) bounded(cuda *native.CUDA, device Device) (CUDAOptions, error) {
	if o.MemLimit > 0 {
		return o, nil
	}
	free, err := cuda.FreeMemory(device.Index)
	if err != nil {
		return o, fmt.Errorf("free memory of %s: %w", device, err)
	}
	o.MemLimit = max(free/5*4, 1)
	return o, nil
}
