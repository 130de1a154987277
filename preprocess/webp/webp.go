// Package webp decodes WebP: lossy images with libwebp, lossless ones by itself, because libwebp looks at no deadline
// while it decodes these, and holds four more bytes for each pixel.
package webp

/*
#cgo CFLAGS: -O3
#cgo !customenv LDFLAGS: -lwebp -lpthread
#include "decode.h"
*/
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"fovea/preprocess/internal/stop"
)

// wrong is what can be wrong with image data, by what the C code returns.
var wrong = map[C.enum_fovea_webp_result]error{
	C.FOVEA_WEBP_CUT:     errors.New("the image data ends before the rows do"),
	C.FOVEA_WEBP_CORRUPT: errors.New("the image data is not valid"),
	C.FOVEA_WEBP_SIZE:    errors.New("the image data is of another size"),
	C.FOVEA_WEBP_CODES:   errors.New("the prefix codes take more than 64 MiB"),
	C.FOVEA_WEBP_MEMORY:  errors.New("there is not enough memory"),
}

// Decode decodes a chunk of image data, VP8 or VP8L (RFC 9649), with its name and its size. pixels receive height rows of
// width pixels, blue, green and red, uint8, from the top, as the image is stored; after an error they hold anything.
// Alpha is left out. Decoding ends with ctx's error within some milliseconds of the end of ctx.
func Decode(ctx context.Context, chunk, pixels []byte, width, height int) error {
	_, err := decode(ctx, chunk, pixels, width, height)
	return err
}

// decode returns the rows that were decoded, too.
func decode(ctx context.Context, chunk, pixels []byte, width, height int) (int, error) {
	const head = 8
	if len(chunk) < head || width < 1 || height < 1 || len(pixels) != 3*width*height {
		return 0, fmt.Errorf("%d bytes of WebP, %d bytes for %d×%d pixels", len(chunk), len(pixels), width, height)
	}
	size := int64(binary.LittleEndian.Uint32(chunk[4:]))
	if size > int64(len(chunk)-head) {
		return 0, wrong[C.FOVEA_WEBP_CUT]
	}
	chunk = chunk[:head+size]
	stopped := stop.On(ctx)
	defer stopped.Release()
	to, w, h, ended := (*C.uchar)(unsafe.SliceData(pixels)), C.int(width), C.int(height), (*C.int)(stopped.Address())
	var rows C.int
	var result C.enum_fovea_webp_result
	switch name := string(chunk[:4]); name {
	case "VP8 ":
		result = C.fovea_webp_lossy((*C.uchar)(unsafe.SliceData(chunk)), C.size_t(len(chunk)), to, w, h, ended, &rows)
	case "VP8L":
		body := chunk[head:]
		result = C.fovea_webp_lossless((*C.uchar)(unsafe.SliceData(body)), C.size_t(len(body)), to, w, h, ended, &rows)
	default:
		return 0, fmt.Errorf("a chunk %q holds no image data", name)
	}
	switch result {
	case C.FOVEA_WEBP_OK:
		return int(rows), nil
	case C.FOVEA_WEBP_STOPPED:
		return int(rows), ctx.Err()
	}
	return int(rows), wrong[result]
}
