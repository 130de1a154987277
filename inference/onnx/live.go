package onnx

import (
	"sync/atomic"

	"fovea/inference/onnx/internal/native"
)

var (
	liveSessions atomic.Int64
	liveValues   atomic.Int64
)

// Live is the number of native things that are not freed: sessions, tensors and blocks of tensor memory.
func Live() int64 { return liveSessions.Load() + liveValues.Load() + native.Blocks() }

// LiveBytes is the size of the tensor memory that is not freed, in bytes. ONNX Runtime's own memory (weights,
// arenas) is not in it.
func LiveBytes() int64 { return native.Bytes() }
