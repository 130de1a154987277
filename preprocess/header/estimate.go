package header

import "time"

// Nanoseconds that decoding and packing take on a processor of 2024, at most: for each pixel and for each byte of the
// file. They tell the images that hold a processor for long from others, and need be no closer than that.
var estimates = map[Format]struct{ pixel, byte int64 }{
	JPEG: {5, 10}, PNG: {12, 10}, WebP: {15, 10}, BMP: {5, 3},
}

// Estimate is how much of a processor's time an image whose header was read, in a file of size bytes, may take.
func (i Info) Estimate(size int) time.Duration {
	e := estimates[i.Format]
	coded := i.Coded()
	total := e.pixel*int64(coded.X)*int64(coded.Y) + e.byte*int64(size)
	if i.Progressive && i.Format == JPEG {
		total += i.work + 15*int64(size) // each scan is gone over by itself
	}
	return time.Duration(total)
}
