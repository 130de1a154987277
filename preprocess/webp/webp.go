// Package webp decodes WebP: lossy images with libwebp, and lossless ones with a separate decoder, since libwebp's cannot be
// canceled and needs four more bytes per pixel.
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

// decodeErrors are the errors of image data by the results of the C code.
var decodeErrors = map[C.enum_fovea_webp_result]error{
	C.FOVEA_WEBP_TRUNCATED: errors.New("the image data ends before the rows do"),
	C.FOVEA_WEBP_CORRUPT:   errors.New("the image data is not valid"),
	C.FOVEA_WEBP_SIZE:      errors.New("the image data is of another size"),
	C.FOVEA_WEBP_CODES:     errors.New("the prefix codes take more than 64 MiB"),
	C.FOVEA_WEBP_MEMORY:    errors.New("out of memory"),
}

// Decode decodes a VP8 or VP8L chunk (RFC 9649), including its header, into pixels: height rows of width pixels, blue, green and
// red, uint8, from the top, in the stored orientation; undefined after an error. Alpha is dropped. Decoding returns ctx's error
// within a few milliseconds after ctx ends.
func Decode(ctx context.Context, chunk, pixels []byte, width, height int) error {
	_, err := decode(ctx, chunk, pixels, width, height)
	return err
}

// head is the size of a chunk's header.
const head = 8

// check returns a chunk without what follows it, or an error if it is truncated or the sizes do not match.
func check(chunk, pixels []byte, width, height int) ([]byte, error) {
	if len(chunk) < head || width < 1 || height < 1 || len(pixels) != 3*width*height {
		return nil, fmt.Errorf("cannot decode %d bytes of WebP into %d bytes for %d×%d pixels", len(chunk), len(pixels), width, height)
	}
	size := int64(binary.LittleEndian.Uint32(chunk[4:]))
	if size > int64(len(chunk)-head) {
		return nil, decodeErrors[C.FOVEA_WEBP_TRUNCATED]
	}
	return chunk[:head+size], nil
}

// decode also returns the number of decoded rows.
func decode(ctx context.Context, chunk, pixels []byte, width, height int) (int, error) {
	chunk, err := check(chunk, pixels, width, height)
	if err != nil {
		return 0, err
	}
	switch name := string(chunk[:4]); name {
	case "VP8 ":
		return lossy(ctx, chunk, pixels, width, height)
	case "VP8L":
		return lossless(ctx, chunk[head:], pixels, width, height, C.FOVEA_WEBP_COLORS)
	default:
		return 0, fmt.Errorf("a chunk %q has no image data", name)
	}
}

func lossy(ctx context.Context, chunk, pixels []byte, width, height int) (int, error) {
	stopped := stop.On(ctx)
	defer stopped.Release()
	var rows C.int
	result := C.fovea_webp_lossy((*C.uchar)(unsafe.SliceData(chunk)), C.size_t(len(chunk)), (*C.uchar)(unsafe.SliceData(pixels)),
		C.int(width), C.int(height), (*C.int)(stopped.Address()), &rows)
	return ended(ctx, rows, result)
}

func lossless(ctx context.Context, body, pixels []byte, width, height int, content C.enum_fovea_webp_content) (int, error) {
	stopped := stop.On(ctx)
	defer stopped.Release()
	var rows C.int
	result := C.fovea_webp_lossless((*C.uchar)(unsafe.SliceData(body)), C.size_t(len(body)), (*C.uchar)(unsafe.SliceData(pixels)),
		C.int(width), C.int(height), content, (*C.int)(stopped.Address()), &rows)
	return ended(ctx, rows, result)
}

// ended returns the number of decoded rows, and the error of a result.
func ended(ctx context.Context, rows C.int, result C.enum_fovea_webp_result) (int, error) {
	switch result {
	case C.FOVEA_WEBP_OK:
		return int(rows), nil
	case C.FOVEA_WEBP_STOPPED:
		return int(rows), ctx.Err()
	}
	return int(rows), decodeErrors[result]
}
