package preprocess

import (
	"image"

	"gocv.io/x/gocv"
)

// openCVScaler is OpenCV's resize itself, of the whole source.
type openCVScaler struct{ interpolation gocv.InterpolationFlags }

func (openCVScaler) cropsOnly(resampling) bool { return false }

func (openCVScaler) reads(r resampling) image.Rectangle { return r.source.Pixels() }

func (openCVScaler) reduces(withinPixels bool) bool { return !withinPixels }

// resize takes the image as it is stored, which differs from turning it first by rounding at most. Only INTER_AREA with a side
// that grows and one that shrinks does not: it interpolates the latter between pixels at the left or top of each result.
func (s openCVScaler) resize(src native, r resampling) (native, error) {
	region := own(src.Region(r.source.Pixels()))
	defer region.free()
	if s.interpolation != gocv.InterpolationArea || r.orientation <= 1 || !r.growsAndShrinks() {
		return interpolate(region, r.size, s.interpolation)
	}
	upright, err := turned(region, r.orientation, false)
	if err != nil {
		return native{}, resizeError(err, r.size)
	}
	defer upright.free()
	size := r.size
	if r.orientation >= 5 {
		size = image.Pt(size.Y, size.X)
	}
	resized, err := interpolate(upright, size, s.interpolation)
	if err != nil {
		return native{}, err
	}
	defer resized.free()
	return turned(resized, r.orientation, true)
}

func (r resampling) growsAndShrinks() bool {
	x, y := r.source.Dx()-float64(r.size.X), r.source.Dy()-float64(r.size.Y)
	return x < 0 && y > 0 || x > 0 && y < 0
}

// turned returns the upright image of a stored one, or with back the stored image of an upright one.
func turned(src native, orientation int, back bool) (native, error) {
	transposed, x, y := axes(orientation)
	if back && transposed {
		x, y = y, x // flipped before it is transposed
	}
	dst := own(gocv.NewMat())
	err := flip(src.Mat, &dst.Mat, x, y)
	if err == nil && transposed {
		err = gocv.Transpose(dst.Mat, &dst.Mat)
	}
	if err != nil {
		dst.free()
		return native{}, err
	}
	return dst, nil
}

// flip mirrors an image in x, in y.
func flip(src gocv.Mat, dst *gocv.Mat, x, y bool) error {
	switch {
	case x && y:
		return gocv.Flip(src, dst, -1)
	case x:
		return gocv.Flip(src, dst, 1)
	case y:
		return gocv.Flip(src, dst, 0)
	}
	return src.CopyTo(dst)
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
