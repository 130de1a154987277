package repository

import "cmp"

// maxOpenPixels is how many pixels an input of open size takes from an image at most, where the definition does not limit both
// sides: 48 MiB of float32 in three channels.
const maxOpenPixels = 1 << 22

// Limits returns the largest width and height of an input with Dynamic, both multiples of its stride, and how many pixels it
// takes from an image at most, not counting padding. A larger image is scaled down.
func (in Input) Limits() (width, height, pixels int) {
	stride := max(in.Stride, 1)
	limit := func(side int) int { return max(cmp.Or(side, maxSide)/stride*stride, stride) }
	width, height = limit(in.Width), limit(in.Height)
	if in.Width > 0 && in.Height > 0 {
		return width, height, width * height
	}
	return width, height, maxOpenPixels
}
