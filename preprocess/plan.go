// Package preprocess turns an encoded image into a row of a model's input: it decodes, resizes and packs. EXIF
// orientation is applied while packing (orientation.go). It is the only package that imports gocv; images are resized
// by OpenCV, or as Pillow and PyTorch do (package resample), and the tests compare the decoders with OpenCV's.
//
// Each format has a decoder (packages jpeg, png, webp, bmp) whose work is bounded by the image's pixels and the file's
// bytes, and which checks the context while it decodes.
package preprocess

import (
	"image"
	"sync"

	"gocv.io/x/gocv"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
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

// RowBytes returns the size of one row of the input tensor in bytes: channels (1, 3 or 4) × height × width elements. It is
// 0 for an input whose size depends on the image.
func (p *Plan) RowBytes() int {
	if p.input.Dynamic() {
		return 0
	}
	return p.RowBytesOf(image.Pt(p.input.Width, p.input.Height))
}

// RowBytesOf returns the size in bytes of one row of an input of size pixels.
func (p *Plan) RowBytesOf(size image.Point) int {
	return p.input.Channels() * size.X * size.Y * p.input.DType.Size()
}

// InputSize returns the size of the input for an image of width×height pixels, orientation-corrected.
func (p *Plan) InputSize(width, height int) image.Point {
	return geometry.InputSize(&p.input, width, height)
}
