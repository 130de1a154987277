// Package area shrinks images by the mean over the area that falls on a pixel, as OpenCV's INTER_AREA does, but in
// SIMD, down before across, and only where the result is wanted.
package area

/*
#cgo CFLAGS: -O3
#include "shrink.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"image"
	"math"

	"fovea/preprocess/geometry"
)

// Shrink shrinks a part of an image to size, of which it writes the rectangle wanted to out. Pixels are three bytes,
// uint8; rows of the image are width pixels and have no gaps, nor do those of out. The part's edges may lie within
// pixels, which then weigh as much less. Neither side of size may be larger than the part's.
func Shrink(pixels []byte, width int, part geometry.Box, size image.Point, wanted image.Rectangle, out []byte) error {
	switch whole := part.Pixels(); {
	case width < 1 || whole.Empty() || !whole.In(image.Rect(0, 0, width, len(pixels)/(3*width))):
		return fmt.Errorf("the part %v is outside of the image, %d bytes of rows of %d pixels", part, len(pixels), width)
	case float64(size.X) > part.Dx() || float64(size.Y) > part.Dy():
		return fmt.Errorf("%v is larger than %v", size, part)
	case wanted.Empty() || !wanted.In(image.Rectangle{Max: size}) || len(out) != 3*wanted.Dx()*wanted.Dy():
		return fmt.Errorf("%v is not within %v, or not of %d bytes", wanted, size, len(out))
	}
	x := side(part.MinX, part.MaxX, size.X, wanted.Min.X, wanted.Dx())
	y := side(part.MinY, part.MaxY, size.Y, wanted.Min.Y, wanted.Dy())
	if C.fovea_area_shrink((*C.uchar)(&pixels[0]), C.size_t(3*width), x, y, (*C.uchar)(&out[0])) != 0 {
		return errors.New("out of memory")
	}
	return nil
}

func side(low, high float64, size, begin, count int) C.struct_fovea_area_side {
	return C.struct_fovea_area_side{low: C.double(low), high: C.double(high), size: C.int(size), begin: C.int(begin), count: C.int(count)}
}

// Source is what Shrink looks at for the rectangle wanted: the pixels that fall on it, even if only in part.
func Source(part geometry.Box, size image.Point, wanted image.Rectangle) image.Rectangle {
	x, y := part.Dx()/float64(size.X), part.Dy()/float64(size.Y)
	low := func(from float64, at int, factor float64) int { return int(from + float64(at)*factor) }
	high := func(from float64, at int, factor float64) int { return int(math.Ceil(from + float64(at)*factor)) }
	return image.Rect(low(part.MinX, wanted.Min.X, x), low(part.MinY, wanted.Min.Y, y),
		high(part.MinX, wanted.Max.X, x), high(part.MinY, wanted.Max.Y, y)).Intersect(part.Pixels())
}
