// Package preprocess turns the bytes of an image into a row of a model's input tensor: it decodes, resizes and
// packs. It is the only package that knows OpenCV (through gocv), which resizes, and is what the decoders are held against
// in tests.
//
// Each format has a decoder whose work is bounded by the image's pixels and the file's bytes, and which looks at the
// context within the decode: package png, webp, bmp and jpeg.
package preprocess

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Plan is how images become rows of one model's image input. It is safe for concurrent use.
type Plan struct {
	spec     geometry.Spec
	scaler   scaler
	packer   packer
	size     int // bytes of one element
	channels int // 1 or 3
}

// oneThread keeps OpenCV from starting threads of its own: images are decoded side by side already.
var oneThread = sync.OnceFunc(func() { gocv.SetNumThreads(1) })

// NewPlan makes the plan for an input whose width, height, layout and dtype are known. Everything else that is left
// out gets the default that models.Input names. The error holds every mistake, each naming its key.
func NewPlan(in repository.Input) (*Plan, error) {
	oneThread()
	spec, wrongSpec := geometry.SpecOf(in)
	scaler, wrongScaler := newScaler(in.Interpolation)
	values, wrongValues := newValues(in)
	if err := errors.Join(wrongSpec, wrongScaler, wrongValues); err != nil {
		return nil, err
	}
	return &Plan{spec: spec, scaler: scaler, packer: newPacker(in, values), size: in.DType.Size(), channels: in.Channels()}, nil
}

// RowBytes is the size of one row of the input tensor in bytes: channels (1 or 3) × height × width elements.
func (p *Plan) RowBytes() int { return p.channels * p.spec.Width * p.spec.Height * p.size }

// values is what the 256 values of a channel become, and the fill: (v·scale − mean) / std, for each channel in the
// order of the model's colours. A gray input has the first channel alone.
type values struct {
	table [3][256]float64
	fill  [3]float64
}

// newValues works the values out, and checks all that has to do with them.
func newValues(in repository.Input) (*values, error) {
	mean, wrongMean := spread("mean", in.Mean, in.Channels(), 0)
	std, wrongStd := spread("std", in.Std, in.Channels(), 1)
	fill, wrongFill := spread("fill", in.Fill, in.Channels(), 0)
	wrong := []error{wrongMean, wrongStd, wrongFill, oneOf("color", in.Color, repository.ColorRGB, repository.ColorBGR, repository.ColorGray),
		oneOf("layout", in.Layout, "nchw", "nhwc")}
	if d := in.DType; d != repository.Float32 && d != repository.Float16 && d != repository.Uint8 {
		wrong = append(wrong, fmt.Errorf("input.dtype is %q; allowed are %s, %s and %s", d, repository.Float32, repository.Float16, repository.Uint8))
	}
	scale := in.Scale
	if scale == 0 {
		scale = 1
	}
	if !finite(scale) {
		wrong = append(wrong, fmt.Errorf("input.scale is %v; it must be a finite number", scale))
	}
	v := &values{}
	for c := range 3 {
		if std[c] == 0 {
			wrong = append(wrong, fmt.Errorf("input.std[%d] is 0; nothing can be divided by it", c))
		}
		if fill[c] < 0 || fill[c] > 255 {
			wrong = append(wrong, fmt.Errorf("input.fill[%d] is %v; allowed are 0 to 255", c, fill[c]))
		}
		for i := range v.table[c] {
			v.table[c][i] = (float64(i)*scale - mean[c]) / std[c]
		}
		v.fill[c] = (fill[c]*scale - mean[c]) / std[c]
	}
	return v, errors.Join(wrong...)
}

// spread gives each channel its value: one for all, or one for each. None means the default.
func spread(key string, given []float64, channels int, missing float64) ([3]float64, error) {
	for _, v := range given {
		if !finite(v) {
			return [3]float64{missing, missing, missing}, fmt.Errorf("input.%s holds %v; it must hold finite numbers", key, v)
		}
	}
	switch {
	case len(given) == 0:
		return [3]float64{missing, missing, missing}, nil
	case len(given) == 1:
		return [3]float64{given[0], given[0], given[0]}, nil
	case len(given) == 3 && channels == 3:
		return [3]float64(given), nil
	}
	allowed := "1 and 3"
	if channels == 1 {
		allowed = "1, as color gray has one channel"
	}
	return [3]float64{missing, missing, missing}, fmt.Errorf("input.%s has %d values; allowed are %s", key, len(given), allowed)
}

// oneOf checks a word; none means the first.
func oneOf(key, given string, allowed ...string) error {
	if given == "" {
		return nil
	}
	for _, a := range allowed {
		if given == a {
			return nil
		}
	}
	return fmt.Errorf("input.%s is %q; allowed are %q", key, given, allowed)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
