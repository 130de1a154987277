// Package resample resizes 8-bit images as Pillow, PyTorch and OpenCV's nearest do: with the same weights, precision and rounding
// between the two passes, so that the results are equal. It computes only a crop of the result, and takes images
// in any EXIF orientation: the results are those of the orientation-corrected image.
package resample

/*
#cgo CFLAGS: -O3
#include "resample.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"image"

	"fovea/preprocess/geometry"
)

// Region is what is resampled: the source box of an image becomes size pixels, of which the crop is computed. The source's
// edges may lie within pixels. All are in the coordinates of the stored image, which is the orientation-corrected one
// transposed and then flipped.
type Region struct {
	Width, Height      int // of the image, pixels
	Source             geometry.Box
	Size               image.Point
	Crop               image.Rectangle
	Transposed         bool
	FlippedX, FlippedY bool
}

func (r Region) x() side {
	return side{r.Width, r.Source.MinX, r.Source.MaxX, r.Size.X, r.Crop.Min.X, r.Crop.Max.X}
}

func (r Region) y() side {
	return side{r.Height, r.Source.MinY, r.Source.MaxY, r.Size.Y, r.Crop.Min.Y, r.Crop.Max.Y}
}

func (r Region) check() error {
	whole := image.Rect(0, 0, r.Width, r.Height)
	if source := r.Source.Pixels(); source.Empty() || !source.In(whole) || r.Source.Dx() <= 0 || r.Source.Dy() <= 0 {
		return fmt.Errorf("the source %v is not within the image of %d×%d pixels", r.Source, r.Width, r.Height)
	}
	if r.Crop.Empty() || !r.Crop.In(image.Rectangle{Max: r.Size}) {
		return fmt.Errorf("%v is not within %v", r.Crop, r.Size)
	}
	return nil
}

// Reads returns the rectangle of pixels that Resize reads. The region must be valid.
func (f *Filter) Reads(r Region) image.Rectangle {
	minX, maxX := f.reach(r.x(), r.FlippedX)
	minY, maxY := f.reach(r.y(), r.FlippedY)
	return image.Rect(minX, minY, maxX, maxY)
}

// Resize resamples pixels, three uint8 each, rows from the top without gaps, and writes the crop to out in the same layout. The
// error says what is wrong with the region or the sizes of the slices.
func (f *Filter) Resize(pixels []byte, r Region, out []byte) error {
	return f.resize(pixels, r, out, true)
}

// resize works like Resize; without simd in plain C.
func (f *Filter) resize(pixels []byte, r Region, out []byte, simd bool) error {
	if err := r.check(); err != nil {
		return err
	}
	if len(pixels) != 3*r.Width*r.Height || len(out) != 3*r.Crop.Dx()*r.Crop.Dy() {
		return fmt.Errorf("%d and %d bytes are not images of %d×%d and %v pixels", len(pixels), len(out), r.Width, r.Height, r.Crop.Size())
	}
	columnsFirst := f.columnsFirst(r) != r.Transposed
	x, y := f.axis(r.x(), r.FlippedX), f.axis(r.y(), r.FlippedY)
	stride := C.size_t(3 * r.Width)
	if C.fovea_resample((*C.uchar)(&pixels[0]), stride, stride, x.native(), y.native(), flag(columnsFirst), flag(simd), (*C.uchar)(&out[0])) != 0 {
		return errors.New("out of memory")
	}
	return nil
}

// columnsFirst reports whether the first pass is over the columns of the orientation-corrected image: since version 13, Pillow
// begins with the height if it shrinks by more than twice as many pixels as the width (ImagingResampleInner). The order matters
// because what the first pass computes is rounded, and cut off at 0 and 255.
func (f *Filter) columnsFirst(r Region) bool {
	less := image.Pt(r.Width, r.Height).Sub(r.Size)
	if r.Transposed {
		less.X, less.Y = less.Y, less.X
	}
	return !f.int16 && less.Y > 0 && less.Y > 2*less.X
}

func (a axis) native() C.struct_fovea_resample_axis {
	return C.struct_fovea_resample_axis{
		first: (*C.int)(&a.first[0]), count: (*C.int)(&a.count[0]), weights: (*C.short)(&a.weights[0]),
		n: C.int(len(a.first)), groups: C.int(a.groups), bits: C.int(a.bits),
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
