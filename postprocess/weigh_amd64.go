package postprocess

import "golang.org/x/sys/cpu"

// hasBlocks tells whether what works on blocks can run.
var hasBlocks = cpu.X86.HasAVX2 && cpu.X86.HasFMA

// weighBlocks adds four planes, each times its factor, to n numbers, a multiple of 8. plane is the distance of planes in bytes.
//
//go:noescape
func weighBlocks(to, planes *float32, plane uintptr, factors *[4]float32, n int)

// aboveBlocks sets a byte of eight bits for each eight of n numbers, a multiple of 8: whether they are above the threshold, from the lowest bit on.
//
//go:noescape
func aboveBlocks(to *uint64, values *float32, threshold float32, n int)

// crossBlocks is crossCells for n cells structs.
//
//go:noescape
func crossBlocks(rows *[8]int32, sides *uint8, list *cells, n int, p *crossings)
