package preprocess

import (
	"cmp"
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/area"
	"fovea/preprocess/geometry"
)

// nearestExact is OpenCV's INTER_NEAREST_EXACT: the pixel whose center is nearest, as in Pillow and torchvision. OpenCV's
// INTER_NEAREST takes the one above and to the left.
const nearestExact gocv.InterpolationFlags = 6

// scaler is how images are resized. OpenCV's linear, cubic and lanczos read a fixed number of pixels and so skip most of
// an image that shrinks a lot; training pipelines (Pillow, and torchvision with antialias) read all of them. Shrinking
// therefore averages by area (INTER_AREA) from the factor on where that is closer to Pillow. On photographs the mean
// difference from Pillow, in steps of 255, is
//
//	factor                     1.05  1.15  1.3  1.5  2    3    4
//	Pillow bilinear − linear   0.4   0.7   1.1  1.5  2.1  5.1  4.9
//	Pillow bilinear − area     0.2   0.4   0.5  1.0  2.1  1.5  1.8
//	Pillow bicubic  − cubic    0.6   0.9   1.4  2.0  2.9  5.2  5.9
//	Pillow bicubic  − area     1.0   0.9   0.8  0.8  1.3  1.2  1.3
//	Pillow lanczos  − lanczos  0.5   0.9   1.5  2.3  3.5  5.4  6.2
//	Pillow lanczos  − area     1.5   1.5   1.4  1.4  1.6  1.6  1.8
type scaler struct {
	interpolation gocv.InterpolationFlags // of sides that grow
	maxShrink     float64                 // sides that shrink by no more than this factor are interpolated as well
}

var scalers = map[string]scaler{
	repository.PillowNearest: {nearestExact, 1 << 30},
	repository.AreaLinear:    {gocv.InterpolationLinear, 1},
	repository.AreaCubic:     {gocv.InterpolationCubic, 1.15},
	repository.AreaLanczos:   {gocv.InterpolationLanczos4, 1.3},
}

// resampling is a geometry.Resampling in the coordinates of the stored image: source is resized to size, and crop is
// used of it.
type resampling struct {
	source   geometry.Box
	size     image.Point
	crop     image.Rectangle
	cropOnly bool // only the crop is computed, from only the pixels that it depends on
}

// unchanged reports whether nothing is resized.
func unchanged(source geometry.Box, size image.Point) bool {
	return source.Dx() == float64(size.X) && source.Dy() == float64(size.Y)
}

// sourceRect returns the rectangle of the stored image that is read.
func (r resampling) sourceRect() image.Rectangle {
	switch {
	case !r.cropOnly:
		return r.source.Pixels()
	case unchanged(r.source, r.size):
		return r.crop.Add(r.source.Pixels().Min)
	}
	return area.Source(r.source, r.size, r.crop)
}

// cropsOnly reports whether a resize computes only the crop: where no side grows and nothing is interpolated.
func (s scaler) cropsOnly(source geometry.Box, size image.Point) bool {
	grows := float64(size.X) > source.Dx() || float64(size.Y) > source.Dy()
	return unchanged(source, size) || !grows && !s.interpolates(source, size)
}

// interpolates reports whether sides that shrink are interpolated.
func (s scaler) interpolates(source geometry.Box, size image.Point) bool {
	return source.Dx() <= s.maxShrink*float64(size.X) && source.Dy() <= s.maxShrink*float64(size.Y)
}

// resize returns a new matrix: the whole result, or only the crop. A side that shrinks and one that grows take a step each.
// Source edges may lie within pixels only with cropOnly: in an image that the decoder shrank.
func (s scaler) resize(src native, r resampling) (native, error) {
	if r.cropOnly {
		return shrink(src, r.source, r.size, r.crop)
	}
	pixels := r.source.Pixels()
	shrunk := image.Pt(min(pixels.Dx(), r.size.X), min(pixels.Dy(), r.size.Y))
	if shrunk == pixels.Size() || s.interpolates(r.source, r.size) {
		region := own(src.Region(pixels))
		defer region.free()
		return interpolate(region, r.size, s.interpolation)
	}
	first, err := shrink(src, r.source, shrunk, image.Rectangle{Max: shrunk})
	if err != nil {
		return native{}, err
	}
	defer first.free()
	return interpolate(first, r.size, s.interpolation)
}

// shrink averages the source down to a size and returns the crop of it. Neither side may grow.
func shrink(src native, source geometry.Box, size image.Point, crop image.Rectangle) (native, error) {
	dst := own(gocv.NewMatWithSizes([]int{crop.Dy(), crop.Dx()}, gocv.MatTypeCV8UC3)) // not initialized; Shrink fills it
	pixels, err := src.DataPtrUint8()
	out, outErr := dst.DataPtrUint8()
	if err = cmp.Or(err, outErr); err == nil {
		err = area.Shrink(pixels, src.Cols(), source, size, crop, out)
	}
	if err != nil {
		dst.free()
		return native{}, resizeError(err, size)
	}
	return dst, nil
}

func interpolate(src native, size image.Point, how gocv.InterpolationFlags) (native, error) {
	dst := own(gocv.NewMat())
	err := gocv.Resize(src.Mat, &dst.Mat, size, 0, 0, how)
	if err == nil && dst.Cols() == size.X && dst.Rows() == size.Y {
		return dst, nil
	}
	dst.free()
	return native{}, resizeError(err, size)
}

func resizeError(err error, size image.Point) error {
	return apierror.Wrap(apierror.Internal, err, "the image cannot be resized to %d×%d pixels", size.X, size.Y)
}
