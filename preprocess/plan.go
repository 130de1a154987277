// Package preprocess turns an encoded image into a row of a model's input: it decodes, resizes and packs. EXIF
// orientation is applied while packing (orientation.go). It is the only package that imports gocv; OpenCV resizes, and
// the tests compare the decoders with its own.
//
// Each format has a decoder (packages jpeg, png, webp, bmp) whose work is bounded by the image's pixels and the file's
// bytes, and which checks the context while it decodes.
package preprocess

import (
	"sync"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
)

// Plan holds what is needed to turn images into rows of one model's image input. It is safe for concurrent use.
type Plan struct {
	input  repository.Input
	scaler scaler
	packer packer
}

// oneThread keeps OpenCV from starting threads: images are decoded in parallel already.
var oneThread = sync.OnceFunc(func() { gocv.SetNumThreads(1) })

// NewPlan makes the plan for the input of a resolved definition. The error is that of Input.Validate.
func NewPlan(in repository.Input) (*Plan, error) {
	oneThread()
	if err := in.Validate(); err != nil {
		return nil, err
	}
	return &Plan{input: in, scaler: scalers[in.Interpolation], packer: newPacker(in)}, nil
}

// RowBytes is the size of one row of the input tensor in bytes: channels (1 or 3) × height × width elements.
func (p *Plan) RowBytes() int {
	return p.input.Channels() * p.input.Width * p.input.Height * p.input.DType.Size()
}

// normalization is what the 256 values of a channel, and the padding, become: (v·scale − mean) / std, for each channel in
// the order of the model's colours. A gray input has only the first channel.
type normalization struct {
	table [3][256]float64
	fill  [3]float64
}

func newNormalization(in repository.Input) *normalization {
	n := &normalization{}
	mean, std, fill := perChannel(in.Mean), perChannel(in.Std), perChannel(in.Fill)
	for c := range 3 {
		for i := range n.table[c] {
			n.table[c][i] = (float64(i)*in.Scale - mean[c]) / std[c]
		}
		n.fill[c] = (fill[c]*in.Scale - mean[c]) / std[c]
	}
	return n
}

// perChannel repeats a single value for each channel. Fill has none where an input needs no padding.
func perChannel(values []float64) (out [3]float64) {
	if len(values) == 1 {
		return [3]float64{values[0], values[0], values[0]}
	}
	copy(out[:], values)
	return out
}
