//go:build !amd64

package postprocess

const hasBlocks = false

func weighBlocks(_, _ *float32, _ uintptr, _ *[4]float32, _ int) {}

func aboveBlocks(_ *uint64, _ *float32, _ float32, _ int) {}

func crossBlocks(_ *[8]int32, _ *uint8, _ *cells, _ int, _ *crossings) {}
