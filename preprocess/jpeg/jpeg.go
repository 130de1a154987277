// Package jpeg decodes JPEG with libjpeg-turbo, which OpenCV uses too. OpenCV has it write red first and then swaps
// every pixel by itself, which takes as long as decoding; it copies the file before; and it hides libjpeg's warning that
// the image's data ends too soon.
package jpeg

/*
#cgo !customenv LDFLAGS: -ljpeg
#include <stdlib.h>
#include "decode.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"fovea/preprocess/internal/stop"
)

// ErrTruncated says that a block's data is missing.
var ErrTruncated = errors.New("the image's data ends before its last row")

// Decode decodes a JPEG of 1, 3 or 4 channels at 1/shrink of its size, rounded up; shrink is 1, 2, 4 or 8. pixels
// receive height rows of width pixels, blue, green and red, uint8, from the top, as the image is stored; columns
// outside of from..to, and all after an error, hold anything. An image of which a block's data is missing gives
// ErrTruncated; a missing end marker is no error. Decoding ends with ctx's error within some milliseconds of the end of ctx.
func Decode(ctx context.Context, data []byte, shrink int, pixels []byte, width, height, from, to int) error {
	if len(data) == 0 || width < 1 || height < 1 || len(pixels) != 3*width*height || from < 0 || from >= to || to > width {
		return fmt.Errorf("%d bytes of JPEG, %d bytes for %d×%d pixels, of which columns %d to %d",
			len(data), len(pixels), width, height, from, to)
	}
	stopped := stop.On(ctx)
	defer stopped.Release()
	_, err := decode(data, shrink, pixels, width, height, from, to, stopped.Address())
	if ended := ctx.Err(); ended != nil && err != nil {
		return ended
	}
	return err
}

// decode also returns how often the decoder looked whether it is to stop: whether the int32 at stopped is 1.
func decode(data []byte, shrink int, pixels []byte, width, height, from, to int, stopped unsafe.Pointer) (checks int, err error) {
	var count C.long
	var missing C.int
	why := C.fovea_jpeg_decode((*C.uchar)(unsafe.SliceData(data)), C.size_t(len(data)), C.int(shrink),
		(*C.uchar)(unsafe.SliceData(pixels)), C.int(width), C.int(height), C.int(from), C.int(to), (*C.int)(stopped), &count,
		&missing)
	if why == nil {
		return int(count), nil
	}
	defer C.free(unsafe.Pointer(why))
	if missing != 0 {
		return int(count), ErrTruncated
	}
	return int(count), errors.New(C.GoString(why))
}
