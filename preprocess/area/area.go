// Package area shrinks pictures by the mean over the area that falls on a pixel, as OpenCV's INTER_AREA does, but in
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
)

// Shrink shrinks a part of a picture to size, of which it writes the rectangle wanted to out. Pixels are three bytes,
// uint8; rows of the picture are width pixels and have no gaps, nor do those of out. Neither side of size may be larger
// than the part's.
func Shrink(pixels []byte, width int, part image.Rectangle, size image.Point, wanted image.Rectangle, out []byte) error {
	switch {
	case width < 1 || part.Empty() || !part.In(image.Rect(0, 0, width, len(pixels)/(3*width))):
		return fmt.Errorf("the part %v is outside of the picture, %d bytes of rows of %d pixels", part, len(pixels), width)
	case size.X > part.Dx() || size.Y > part.Dy():
		return fmt.Errorf("%v is larger than %v", size, part.Size())
	case wanted.Empty() || !wanted.In(image.Rectangle{Max: size}) || len(out) != 3*wanted.Dx()*wanted.Dy():
		return fmt.Errorf("%v is not within %v, or not of %d bytes", wanted, size, len(out))
	}
	first := pixels[3*(part.Min.Y*width+part.Min.X):]
	x := C.struct_fovea_area_side{C.int(part.Dx()), C.int(size.X), C.int(wanted.Min.X), C.int(wanted.Dx())}
	y := C.struct_fovea_area_side{C.int(part.Dy()), C.int(size.Y), C.int(wanted.Min.Y), C.int(wanted.Dy())}
	if C.fovea_area_shrink((*C.uchar)(&first[0]), C.size_t(3*width), x, y, (*C.uchar)(&out[0])) != 0 {
		return errors.New("out of memory")
	}
	return nil
}

// Source is what Shrink looks at for the rectangle wanted: the pixels that fall on it, even if only in part.
func Source(part image.Rectangle, size image.Point, wanted image.Rectangle) image.Rectangle {
	x, y := float64(part.Dx())/float64(size.X), float64(part.Dy())/float64(size.Y)
	low := func(at int, factor float64) int { return int(float64(at) * factor) }
	high := func(at int, factor float64) int { return int(math.Ceil(float64(at) * factor)) }
	return image.Rect(low(wanted.Min.X, x), low(wanted.Min.Y, y), high(wanted.Max.X, x), high(wanted.Max.Y, y)).
		Add(part.Min).Intersect(part)
}
