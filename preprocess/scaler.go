package preprocess

import (
	"image"

	"gocv.io/x/gocv"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
	"fovea/preprocess/resample"
)

// scaler resizes images in their stored orientation.
type scaler interface {
	// cropsOnly reports whether only the crop is computed, from the pixels that reads returns.
	cropsOnly(r resampling) bool
	// reads returns the rectangle of the stored image on which the crop depends, where cropsOnly holds.
	reads(r resampling) image.Rectangle
	// resize returns a new matrix: the whole result or, where cropsOnly holds, the crop.
	resize(src native, r resampling) (native, error)
	// reduces reports whether the decoder may shrink the image before. Its edges then may lie within pixels.
	reduces(withinPixels bool) bool
}

// scalers are the values of input.interpolation.
var scalers = map[string]scaler{
	repository.AreaLinear:     areaScaler{gocv.InterpolationLinear, 1},
	repository.AreaCubic:      areaScaler{gocv.InterpolationCubic, 1.15},
	repository.AreaLanczos:    areaScaler{gocv.InterpolationLanczos4, 1.3},
	repository.OpenCVLinear:   openCVScaler{gocv.InterpolationLinear},
	repository.OpenCVArea:     openCVScaler{gocv.InterpolationArea},
	repository.OpenCVCubic:    openCVScaler{gocv.InterpolationCubic},
	repository.OpenCVLanczos:  openCVScaler{gocv.InterpolationLanczos4},
	repository.OpenCVNearest:  filterScaler{&resample.OpenCVNearest},
	repository.PillowNearest:  filterScaler{&resample.PillowNearest},
	repository.PillowBox:      filterScaler{&resample.PillowBox},
	repository.PillowBilinear: filterScaler{&resample.PillowBilinear},
	repository.PillowHamming:  filterScaler{&resample.PillowHamming},
	repository.PillowBicubic:  filterScaler{&resample.PillowBicubic},
	repository.PillowLanczos:  filterScaler{&resample.PillowLanczos},
	repository.TorchAntialias: filterScaler{&resample.TorchAntialias},
	repository.TorchBicubic:   filterScaler{&resample.TorchBicubic},
	repository.TorchLanczos:   filterScaler{&resample.TorchLanczos},
	repository.TorchNearest:   filterScaler{&resample.TorchNearest},
}

// resampling is a geometry.Resampling in the coordinates of the stored image of stored pixels: source is resized to size, and
// crop is used of it.
type resampling struct {
	scaler
	stored      image.Point
	orientation int
	source      geometry.Box
	size        image.Point
	crop        image.Rectangle
	alone       bool // only the source counts, as if the image had no other pixels
}

// unchanged reports whether nothing is resized.
func (r resampling) unchanged() bool {
	return r.source.Dx() == float64(r.size.X) && r.source.Dy() == float64(r.size.Y)
}

// sourceRect returns the rectangle of the stored image that is read.
func (r resampling) sourceRect() image.Rectangle {
	switch {
	case r.unchanged():
		return r.crop.Add(r.source.Pixels().Min)
	case r.cropsOnly(r):
		return r.reads(r)
	}
	return r.source.Pixels()
}

// resized returns a new matrix, and the rectangle of it that is the crop.
func (r resampling) resized(src native) (native, image.Rectangle, error) {
	dst, err := r.resize(src, r)
	if r.cropsOnly(r) {
		return dst, image.Rectangle{Max: r.crop.Size()}, err
	}
	return dst, r.crop, err
}

// filterScaler computes only the crop, as if the image had been turned first.
type filterScaler struct{ *resample.Filter }

func (filterScaler) cropsOnly(resampling) bool { return true }

func (s filterScaler) reads(r resampling) image.Rectangle { return s.Reads(region(r)) }

func (s filterScaler) reduces(bool) bool { return !s.Copies() }

func (s filterScaler) resize(src native, r resampling) (native, error) {
	return intoNew(r.crop.Size(), func(out []byte) error {
		pixels, err := src.DataPtrUint8()
		if err != nil {
			return err
		}
		return s.Resize(pixels, region(r), out)
	})
}

func region(r resampling) resample.Region {
	transposed, x, y := axes(r.orientation)
	var bounds image.Rectangle
	if r.alone {
		bounds = r.source.Pixels()
	}
	return resample.Region{
		Width: r.stored.X, Height: r.stored.Y, Bounds: bounds, Source: r.source, Size: r.size, Crop: r.crop,
		Transposed: transposed, FlippedX: x, FlippedY: y,
	}
}

// intoNew returns a new matrix of size pixels that fill writes.
func intoNew(size image.Point, fill func(out []byte) error) (native, error) {
	dst := own(gocv.NewMatWithSizes([]int{size.Y, size.X}, gocv.MatTypeCV8UC3)) // not initialized
	out, err := dst.DataPtrUint8()
	if err == nil {
		err = fill(out)
	}
	if err != nil {
		dst.free()
		return native{}, resizeError(err, size)
	}
	return dst, nil
}

func resizeError(err error, size image.Point) error {
	return apierror.Wrap(apierror.Internal, err, "the image cannot be resized to %d×%d pixels", size.X, size.Y)
}
