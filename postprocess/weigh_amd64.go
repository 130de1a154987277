package postprocess

import "golang.org/x/sys/cpu"

// hasBlocks tells whether weighBlocks can run.
var hasBlocks = cpu.X86.HasAVX && cpu.X86.HasFMA

// weighBlocks adds four planes, each times its factor, to n numbers, a multiple of 8. plane is the distance of planes in bytes.
//
//go:noescape
func weighBlocks(to, planes *float32, plane uintptr, factors *[4]float32, n int)
