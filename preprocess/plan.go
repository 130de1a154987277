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

// RowBytes returns the size of one row of the input tensor in bytes: channels (1 or 3) × height × width elements.
func (p *Plan) RowBytes() int {
	return p.input.Channels() * p.input.Width * p.input.Height * p.input.DType.Size()
}
