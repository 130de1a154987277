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
	Width, Height      int             // of the image, pixels
	Bounds             image.Rectangle // of the pixels that count, as if the image had no others; empty: all
	Source             geometry.Box
	Size               image.Point
	Crop               image.Rectangle
	Transposed         bool
	FlippedX, FlippedY bool
}

// bounds returns the rectangle of the pixels that count.
func (r Region) bounds() image.Rectangle {
	if r.Bounds.Empty() {
		return image.Rect(0, 0, r.Width, r.Height)
	}
	return r.Bounds
}

func (r Region) x() side {
	b := r.bounds()
	from := float64(b.Min.X)
	return side{b.Dx(), r.Source.MinX - from, r.Source.MaxX - from, r.Size.X, r.Crop.Min.X, r.Crop.Max.X}
}

func (r Region) y() side {
	b := r.bounds()
	from := float64(b.Min.Y)
	return side{b.Dy(), r.Source.MinY - from, r.Source.MaxY - from, r.Size.Y, r.Crop.Min.Y, r.Crop.Max.Y}
}

func (r Region) check() error {
	bounds := r.bounds()
	if !bounds.In(image.Rect(0, 0, r.Width, r.Height)) {
		return fmt.Errorf("the bounds %v are not within the image of %d×%d pixels", bounds, r.Width, r.Height)
	}
	if source := r.Source.Pixels(); source.Empty() || !source.In(bounds) || r.Source.Dx() <= 0 || r.Source.Dy() <= 0 {
		return fmt.Errorf("the source %v is not within %v", r.Source, bounds)
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
	return image.Rect(minX, minY, maxX, maxY).Add(r.bounds().Min)
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
	from := r.bounds().Min
	first := &pixels[3*(from.Y*r.Width+from.X)]
	if C.fovea_resample((*C.uchar)(first), C.size_t(3*r.Width), C.size_t(3*(r.Width-from.X)), x.native(), y.native(), flag(columnsFirst), flag(simd), (*C.uchar)(&out[0])) != 0 {
		return errors.New("out of memory")
	}
	return nil
}

// columnsFirst reports whether the first pass is over the columns of the orientation-corrected image: since version 13, Pillow
// begins with the height if it shrinks by more than twice as many pixels as the width (ImagingResampleInner). The order matters
// because what the first pass computes is rounded, and cut off at 0 and 255.
func (f *Filter) columnsFirst(r Region) bool {
	less := r.bounds().Size().Sub(r.Size)
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
