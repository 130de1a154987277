package preprocess

import (
	"fmt"
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/preprocess/area"
	"fovea/preprocess/geometry"
)

// nearestExact is OpenCV's INTER_NEAREST_EXACT: the pixel whose middle is nearest, as Pillow and torchvision take it.
// OpenCV's own INTER_NEAREST takes the one above and to the left.
const nearestExact gocv.InterpolationFlags = 6

// scaler is how images are resized. OpenCV's linear, cubic and lanczos look at a fixed number of pixels, and so
// skip most of an image that shrinks much; training pipelines (Pillow, and torchvision with antialias) look at all of
// them. Shrinking is therefore done with INTER_AREA, the mean of what falls on a pixel, from the factor on at which
// that comes nearer to Pillow's result. On photographs the mean difference to Pillow, in steps of 255, is
//
//	factor                     1.05  1.15  1.3  1.5  2    3    4
//	Pillow bilinear − linear   0.4   0.7   1.1  1.5  2.1  5.1  4.9
//	Pillow bilinear − area     0.2   0.4   0.5  1.0  2.1  1.5  1.8
//	Pillow bicubic  − cubic    0.6   0.9   1.4  2.0  2.9  5.2  5.9
//	Pillow bicubic  − area     1.0   0.9   0.8  0.8  1.3  1.2  1.3
//	Pillow lanczos  − lanczos  0.5   0.9   1.5  2.3  3.5  5.4  6.2
//	Pillow lanczos  − area     1.5   1.5   1.4  1.4  1.6  1.6  1.8
type scaler struct {
	grow gocv.InterpolationFlags // for sides that grow
	upTo float64                 // shrinking by no more than this is left to grow as well
}

var scalers = map[string]scaler{
	"nearest": {nearestExact, 1 << 30},
	"linear":  {gocv.InterpolationLinear, 1},
	"area":    {gocv.InterpolationLinear, 1},
	"cubic":   {gocv.InterpolationCubic, 1.15},
	"lanczos": {gocv.InterpolationLanczos4, 1.3},
}

func newScaler(name string) (scaler, error) {
	if name == "" {
		name = "linear"
	}
	s, known := scalers[name]
	if !known {
		return s, fmt.Errorf("input.interpolation is %q; allowed are nearest, linear, cubic, area and lanczos", name)
	}
	return s, nil
}

// resizing is what is done to one image, in its own coordinates as it is stored: the box part becomes size, of which
// wanted is used. cuts says that only this is made and only what it comes from is looked at.
type resizing struct {
	part   geometry.Box
	size   image.Point
	wanted image.Rectangle
	cuts   bool
}

// stays says that nothing is resized.
func (r resizing) stays() bool { return same(r.part, r.size) }

func same(part geometry.Box, size image.Point) bool {
	return part.Dx() == float64(size.X) && part.Dy() == float64(size.Y)
}

// looksAt is all that is looked at of the image.
func (r resizing) looksAt() image.Rectangle {
	switch {
	case !r.cuts:
		return r.part.Pixels()
	case r.stays():
		return r.wanted.Add(r.part.Pixels().Min)
	}
	return area.Source(r.part, r.size, r.wanted)
}

// cuts says whether a resize makes only what is wanted: where nothing grows, and shrinking is not left to grow as well.
func (s scaler) cuts(from geometry.Box, to image.Point) bool {
	grows := float64(to.X) > from.Dx() || float64(to.Y) > from.Dy()
	return same(from, to) || !grows && !s.leaves(from, to)
}

// leaves says that shrinking, if any, is left to grow as well.
func (s scaler) leaves(from geometry.Box, to image.Point) bool {
	return from.Dx() <= s.upTo*float64(to.X) && from.Dy() <= s.upTo*float64(to.Y)
}

// resize gives a new matrix: the whole, or only what is wanted of it. A side that shrinks and one that grows take a step
// each. Only what cuts may have edges within pixels: an image that the decoder shrank.
func (s scaler) resize(src native, r resizing) (native, error) {
	if r.cuts {
		return shrink(src, r.part, r.size, r.wanted)
	}
	pixels := r.part.Pixels()
	shrunk := image.Pt(min(pixels.Dx(), r.size.X), min(pixels.Dy(), r.size.Y))
	if shrunk == pixels.Size() || s.leaves(r.part, r.size) {
		region := own(src.Region(pixels))
		defer region.free()
		return step(region, r.size, s.grow)
	}
	first, err := shrink(src, r.part, shrunk, image.Rectangle{Max: shrunk})
	if err != nil {
		return native{}, err
	}
	defer first.free()
	return step(first, r.size, s.grow)
}

// shrink takes a part of a matrix, of which neither side grows, to a size, and gives what is wanted of that.
func shrink(src native, part geometry.Box, to image.Point, wanted image.Rectangle) (native, error) {
	dst := own(gocv.NewMatWithSizes([]int{wanted.Dy(), wanted.Dx()}, gocv.MatTypeCV8UC3)) // not initialised, and filled
	pixels, err := src.DataPtrUint8()
	if err == nil {
		var out []byte
		if out, err = dst.DataPtrUint8(); err == nil {
			err = area.Shrink(pixels, src.Cols(), part, to, wanted, out)
		}
	}
	if err == nil {
		return dst, nil
	}
	dst.free()
	return native{}, apierror.Wrap(apierror.Internal, err, "the image cannot be resized to %d×%d pixels", to.X, to.Y)
}

// step is one resize.
func step(src native, to image.Point, how gocv.InterpolationFlags) (native, error) {
	dst := newNative()
	err := gocv.Resize(src.Mat, &dst.Mat, to, 0, 0, how)
	if err == nil && dst.Cols() == to.X && dst.Rows() == to.Y {
		return dst, nil
	}
	dst.free()
	return native{}, apierror.Wrap(apierror.Internal, err, "the image cannot be resized to %d×%d pixels", to.X, to.Y)
}
