package main

import (
	"bytes"
	"context"
	"image"
	"image/png"

	"fovea/inference"
	"fovea/internal/annotate"
	"fovea/internal/fileutil"
	"fovea/postprocess"
)

// maxDrawn is the longer side, in pixels, of the largest image that is drawn on at its own size.
const maxDrawn = 8192

// annotateFile writes an image with a prediction to a PNG file.
func annotateFile(ctx context.Context, engine *inference.Engine, data []byte, p postprocess.Prediction, path string) error {
	return engine.Decode(ctx, data, maxDrawn, func(img *image.RGBA, scale float64) error {
		drawn, err := annotate.Prediction(img, scale, p)
		if err != nil {
			return err
		}
		var file bytes.Buffer
		if err := png.Encode(&file, drawn); err != nil {
			return err
		}
		return fileutil.Replace(path, file.Bytes(), 0o644)
	})
}
