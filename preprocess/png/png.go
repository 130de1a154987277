// Package png decodes PNG with zlib. libpng, and OpenCV with it, inflates all that a file holds, even when the rows are
// full, looks at no deadline in between, and reports on standard error.
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

// ErrTruncated says that the file ends before the image's rows do.
var ErrTruncated = errors.New("the file ends before its rows do")

var errEnds = errors.New("the image data ends before the rows do")

// wrong is what can be wrong with image data, by what the C code returns.
var wrong = map[C.enum_fovea_png_result]error{
	C.FOVEA_PNG_CUT:     errEnds,
	C.FOVEA_PNG_ROWS:    errEnds,
	C.FOVEA_PNG_CORRUPT: errors.New("the compressed data is not valid"),
	C.FOVEA_PNG_FILTER:  errors.New("a row has a filter that does not exist"),
	C.FOVEA_PNG_BLOCKS:  errors.New("the compressed data is cut into too many blocks"),
	C.FOVEA_PNG_MEMORY:  errors.New("there is not enough memory"),
}

// work is what a decode has done.
type work struct{ inflated, blocks int }

// Decode decodes a PNG. pixels receive height rows of width pixels, blue, green and red, uint8, from the top, as the
// image is stored; after an error they hold anything. Palettes and grey become three channels, alpha is left out, and of
// 16 bits the higher eight are taken. The image is whole when its rows are: what follows them in the compressed data is
// not inflated. A file that ends before the rows do is ErrTruncated. Decoding ends with ctx's error within a few milliseconds
// of the end of ctx.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	_, err := decode(ctx, data, pixels, width, height)
	return err
}

func decode(ctx context.Context, data, pixels []byte, width, height int) (work, error) {
	file, err := header.ParsePNG(data)
	if err != nil {
		return work{}, err
	}
	if file.Width != width || file.Height != height || len(pixels) != 3*width*height {
		return work{}, fmt.Errorf("a PNG of %d×%d pixels was to become %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	image := C.struct_fovea_png_image{width: C.int(width), height: C.int(height), depth: C.int(file.Depth), color: C.int(file.Color)}
	if file.Interlaced {
		image.interlaced = 1
	}
	for i, v := range file.Palette {
		image.palette[i] = C.uchar(v)
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
	case result == C.FOVEA_PNG_CUT && file.Truncated:
		return done, ErrTruncated
	}
	return done, wrong[result]
}
