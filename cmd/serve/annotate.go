package main

import (
	"bytes"
	"context"
	"image"
	"image/png"

	"fovea/internal/annotate"
	"fovea/internal/fileutil"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/header"
)

// maxDrawn is the longer side, in pixels, of the largest image that is drawn on at its own size.
const maxDrawn = 8192

// annotateFile writes an image with a prediction to a PNG file.
func annotateFile(ctx context.Context, data []byte, limits header.Limits, p postprocess.Prediction, path string) error {
	img, scale, err := decoded(ctx, data, limits)
	if err != nil {
		return err
	}
	drawn, err := annotated(img, scale, p)
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := png.Encode(&file, drawn); err != nil {
		return err
	}
	return fileutil.Replace(path, file.Bytes(), 0o644)
}

func annotated(img image.Image, scale float64, p postprocess.Prediction) (*image.RGBA, error) {
	if detected, ok := p.(*postprocess.Detected); ok {
		boxes := make([]annotate.Box, len(detected.Boxes))
		for i, b := range detected.Boxes {
			boxes[i] = annotate.Box{X1: scale * b.X1, Y1: scale * b.Y1, X2: scale * b.X2, Y2: scale * b.Y2, Label: annotate.Label{Class: b.Class, Text: b.Label, Score: b.Score}}
		}
		return annotate.Boxes(img, boxes)
	}
	var labels []annotate.Label
	if classified, ok := p.(*postprocess.Classified); ok {
		for _, c := range classified.Top {
			labels = append(labels, annotate.Label{Class: c.Class, Text: c.Label, Score: c.Score})
		}
	}
	return annotate.Classes(img, labels)
}

// decoded decodes an image as the server does, orientation-corrected and without alpha. scale is what the image was multiplied by: 1
// unless it is larger than maxDrawn.
func decoded(ctx context.Context, data []byte, limits header.Limits) (img *image.RGBA, scale float64, err error) {
	info, err := header.Read(data, limits)
	if err != nil {
		return nil, 0, err
	}
	w, h := info.OrientedSize()
	scale = min(1, maxDrawn/float64(max(w, h)))
	w, h = max(1, int(float64(w)*scale)), max(1, int(float64(h)*scale))
	plan, err := preprocess.NewPlan(repository.Input{Width: w, Height: h, Color: repository.ColorRGB, Layout: "nhwc", DType: repository.Uint8,
		Decode: repository.DecodeExact}.WithDefaults())
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
