// Package png decodes PNG with zlib. Unlike libpng, which OpenCV uses, it does not inflate what follows the last row, checks for
// cancellation while decoding, and does not write to standard error.
package png

/*
#cgo CFLAGS: -O3
#cgo !customenv LDFLAGS: -lz
#include "decode.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"fovea/preprocess/header"
	"fovea/preprocess/internal/stop"
)

// ErrTruncated is the error of a file that ends before the image's rows do.
var ErrTruncated = errors.New("the file ends before its rows do")

var errEnds = errors.New("the image data ends before the rows do")

// decodeErrors are the errors of image data by the results of the C code.
var decodeErrors = map[C.enum_fovea_png_result]error{
	C.FOVEA_PNG_TRUNCATED: errEnds,
	C.FOVEA_PNG_ROWS:      errEnds,
	C.FOVEA_PNG_CORRUPT:   errors.New("the compressed data is not valid"),
	C.FOVEA_PNG_FILTER:    errors.New("a row has an unknown filter"),
	C.FOVEA_PNG_BLOCKS:    errors.New("the compressed data has too many blocks"),
	C.FOVEA_PNG_MEMORY:    errors.New("out of memory"),
}

// work counts the work of a decode.
type work struct{ inflated, blocks int }

// Decode decodes a PNG into pixels: height rows of width pixels, blue, green and red, uint8, from the top, in the stored
// orientation; undefined after an error. Palettes and gray become three channels, alpha is dropped, and 16 bits are reduced to
// their higher eight. What follows the last row in the compressed data is not inflated. A file that ends before the rows do is
// ErrTruncated. Decoding returns ctx's error within a few milliseconds after ctx ends.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	_, err := decode(ctx, data, pixels, width, height)
	return err
}

// DecodeAlpha works like Decode, and writes each pixel's alpha three times instead of its colors: 255 is opaque. A PNG
// without an alpha channel or transparent colors (tRNS) is opaque, and pixels stay as they are.
func DecodeAlpha(ctx context.Context, data, pixels []byte, width, height int) (opaque bool, err error) {
	file, err := header.ParsePNG(data)
	if err != nil {
		return false, err
	}
	if file.Color != grayAlpha && file.Color != rgbAlpha && file.Transparency == nil {
		return true, nil
	}
	image := newImage(file)
	image.alpha = 1
	_, err = run(ctx, file, image, pixels, width, height)
	return false, err
}

// The color types with an alpha channel (PNG, third edition, table 8), and that of palettes.
const (
	indexed   = 3
	grayAlpha = 4
	rgbAlpha  = 6
)

func decode(ctx context.Context, data, pixels []byte, width, height int) (work, error) {
	file, err := header.ParsePNG(data)
	if err != nil {
		return work{}, err
	}
	return run(ctx, file, newImage(file), pixels, width, height)
}

// newImage describes a file to the C code.
func newImage(file header.PNGFile) C.struct_fovea_png_image {
	image := C.struct_fovea_png_image{width: C.int(file.Width), height: C.int(file.Height), depth: C.int(file.Depth), color: C.int(file.Color)}
	if file.Interlaced {
		image.interlaced = 1
	}
	for i, v := range file.Palette {
		image.palette[i] = C.uchar(v)
	}
	for i := range image.alphas {
		image.alphas[i] = 255 // of entries that tRNS leaves out
	}
	for i, v := range file.Transparency {
		if file.Color == indexed {
			image.alphas[i] = C.uchar(v)
		} else {
			image.transparent[i] = C.uchar(v)
		}
	}
	return image
}

func run(ctx context.Context, file header.PNGFile, image C.struct_fovea_png_image, pixels []byte, width, height int) (work, error) {
	if file.Width != width || file.Height != height || len(pixels) != 3*width*height {
		return work{}, fmt.Errorf("cannot decode a PNG of %d×%d pixels to %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	stopped := stop.On(ctx)
	defer stopped.Release()
	var counts C.struct_fovea_png_counts
	result := C.fovea_png_decode(&image, (*C.uchar)(unsafe.SliceData(file.Chunks)), C.size_t(len(file.Chunks)),
		(*C.uchar)(unsafe.SliceData(pixels)), (*C.int)(stopped.Address()), &counts)
	done := work{int(counts.inflated), int(counts.blocks)}
	switch {
	case result == C.FOVEA_PNG_OK:
		return done, nil
	case result == C.FOVEA_PNG_STOPPED:
		return done, ctx.Err()
	case result == C.FOVEA_PNG_TRUNCATED && file.Truncated:
		return done, ErrTruncated
	}
	return done, decodeErrors[result]
}
