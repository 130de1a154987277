package inference

import (
	"context"
	"image"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// Decode decodes an image to draw on it, orientation-corrected and without alpha, and passes it to use, with what its size was multiplied
// by: 1 unless a side is longer than maxSide. Decoding and use hold a worker, as decoding for a model does, so that as many images are in memory.
// The error is use's, or an *apierror.Error.
func (e *Engine) Decode(ctx context.Context, data []byte, maxSide int, use func(img *image.RGBA, scale float64) error) error {
	info, err := header.Read(data, e.limits)
	if err != nil {
		return apierror.From(err)
	}
	work, err := e.workers.enter(ctx, info.Estimate(len(data)))
	if err != nil {
		return apierror.From(err)
	}
	defer work.leave()
	if err := work.acquire(ctx); err != nil {
		return apierror.From(err)
	}
	img, scale, err := decodeRGB(ctx, data, info, maxSide)
	if err != nil {
		return apierror.From(err)
	}
	return use(img, scale)
}

// DecodeImage is Engine.Decode without an engine: it waits for no worker. An image of more than maxPixels pixels is an error.
func DecodeImage(ctx context.Context, data []byte, maxPixels int64, maxSide int, use func(img *image.RGBA, scale float64) error) error {
	info, err := header.Read(data, header.Limits{MaxPixels: maxPixels})
	if err != nil {
		return apierror.From(err)
	}
	img, scale, err := decodeRGB(ctx, data, info, maxSide)
	if err != nil {
		return apierror.From(err)
	}
	return use(img, scale)
}

func decodeRGB(ctx context.Context, data []byte, info header.Info, maxSide int) (img *image.RGBA, scale float64, err error) {
	w, h := info.OrientedSize()
	scale = min(1, float64(maxSide)/float64(max(w, h)))
	w, h = max(1, int(float64(w)*scale)), max(1, int(float64(h)*scale))
	plan, err := preprocess.NewPlan(repository.Input{Width: w, Height: h, Color: repository.ColorRGB, Layout: "nhwc", DType: repository.Uint8}.WithDefaults())
	if err != nil {
		return nil, 0, err
	}
	pixels, err := plan.Decode(ctx, data, info)
	if err != nil {
		return nil, 0, err
	}
	defer pixels.Close()
	row := make([]byte, 3*w*h)
	if _, err := plan.Pack(pixels, row); err != nil {
		return nil, 0, err
	}
	img = image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(img.Pix[4*i:], row[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	return img, scale, nil
}
