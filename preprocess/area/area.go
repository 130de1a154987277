// Package area shrinks images by averaging the area of each target pixel, as OpenCV's INTER_AREA does, but with SIMD, columns
// before rows, and only for a crop of the result.
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

// Shrink shrinks the source box of an image to size and writes a crop of it to out. Pixels are three uint8; rows of the image have
// width pixels, and neither they nor those of out have gaps. The source's edges may lie within pixels, which then count
// partially. Neither side of size may exceed the source's.
func Shrink(pixels []byte, width int, source geometry.Box, size image.Point, crop image.Rectangle, out []byte) error {
	switch whole := source.Pixels(); {
	case width < 1 || whole.Empty() || !whole.In(image.Rect(0, 0, width, len(pixels)/(3*width))):
		return fmt.Errorf("the source %v is outside the image, %d bytes of rows of %d pixels", source, len(pixels), width)
	case float64(size.X) > source.Dx() || float64(size.Y) > source.Dy():
		return fmt.Errorf("%v is larger than %v", size, source)
	case crop.Empty() || !crop.In(image.Rectangle{Max: size}) || len(out) != 3*crop.Dx()*crop.Dy():
		return fmt.Errorf("%v is not within %v, or not of %d bytes", crop, size, len(out))
	}
	x := side(source.MinX, source.MaxX, size.X, crop.Min.X, crop.Dx())
	y := side(source.MinY, source.MaxY, size.Y, crop.Min.Y, crop.Dy())
	if C.fovea_area_shrink((*C.uchar)(&pixels[0]), C.size_t(3*width), x, y, (*C.uchar)(&out[0])) != 0 {
		return errors.New("out of memory")
	}
	return nil
}

func side(low, high float64, size, begin, count int) C.struct_fovea_area_side {
	return C.struct_fovea_area_side{low: C.double(low), high: C.double(high), size: C.int(size), begin: C.int(begin), count: C.int(count)}
}

// Source returns the rectangle of pixels that Shrink reads for a crop, including those that count partially.
func Source(source geometry.Box, size image.Point, crop image.Rectangle) image.Rectangle {
	x, y := source.Dx()/float64(size.X), source.Dy()/float64(size.Y)
	low := func(from float64, at int, factor float64) int { return int(from + float64(at)*factor) }
	high := func(from float64, at int, factor float64) int { return int(math.Ceil(from + float64(at)*factor)) }
	return image.Rect(low(source.MinX, crop.Min.X, x), low(source.MinY, crop.Min.Y, y),
		high(source.MinX, crop.Max.X, x), high(source.MinY, crop.Max.Y, y)).Intersect(source.Pixels())
}
