package heif

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"fovea/preprocess/header"
)

// Limits of a decoder process: about two and a half times what the most expensive images of encoders take (make bench-corpus). They end what
// package header cannot foresee.
const (
	baseMemory  = 96 << 20
	pixelMemory = 10 // bytes, for samples of one byte; dav1d and libde265 take 4 to 8
	baseTime    = 300 * time.Millisecond
)

// timeLimits are nanoseconds per pixel and per byte of the file on a processor of 2024.
var timeLimits = map[header.Format]struct{ pixel, byte int64 }{header.AVIF: {20, 180}, header.HEIC: {40, 330}}

// memoryLimit returns the most that decoding the tiles of an image may allocate, for so many bytes of data.
func memoryLimit(img *header.HEIFImage, bytes int) int64 {
	perSample := int64(1 + min(1, (img.BitDepth-1)/8))
	return baseMemory + 2*int64(bytes) + pixelMemory*perSample*int64(img.Frames)*int64(img.TileWidth)*int64(img.TileHeight)
}

// timeLimit returns the CPU time that so many tiles of an image may take on this machine.
func timeLimit(f header.Format, img *header.HEIFImage, parts, bytes int) time.Duration {
	limit, pixels := timeLimits[f], int64(parts)*int64(img.TileWidth)*int64(img.TileHeight)*int64(img.Frames)
	ofProcessor := baseTime + time.Duration(limit.pixel*pixels+limit.byte*int64(bytes))
	return time.Duration(float64(ofProcessor) * slowness())
}

// slowness is how many times longer this machine takes for a computation than a processor of 2024, at least 1.
var slowness = sync.OnceValue(func() float64 {
	const reference = 1500 * time.Microsecond
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := time.Hour
	for range 4 { // the fastest is disturbed the least
		before := threadTime()
		computed = compute(computed)
		least = min(least, threadTime()-before)
	}
	return max(1, float64(least)/float64(reference))
})

// computed keeps the computation from being optimized away.
var computed uint32

// compute takes branches and reads memory like an entropy decoder.
func compute(state uint32) uint32 {
	var table [1 << 12]uint32
	for range 300_000 {
		state = state*1664525 + 1013904223
		at := state >> 20
		if state&(1<<16) != 0 {
			table[at] += state
		} else {
			state ^= table[at]
		}
	}
	return state
}

// threadTime returns the CPU time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // it cannot fail on Linux
	}
	return time.Duration(t.Nano())
}
