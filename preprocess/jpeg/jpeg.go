// Package jpeg decodes JPEG with libjpeg-turbo. OpenCV uses it too, but has it write red first and then swaps every pixel, which
// takes as long as decoding, copies the file first, and hides libjpeg's warning that the image's data ends too early.
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

// ErrTruncated is the error of an image with missing data.
var ErrTruncated = errors.New("the image's data ends before its last row")

// Decode decodes a JPEG of 1, 3 or 4 channels at 1/shrink of its size, rounded up, into pixels: height rows of width pixels,
// blue, green and red, uint8, from the top, in the stored orientation. shrink is 1, 2, 4 or 8. Columns outside from..to, and
// all after an error, are undefined. An image with missing data is ErrTruncated; a missing end marker is no error. Decoding
// returns ctx's error within a few milliseconds after ctx ends.
func Decode(ctx context.Context, data []byte, shrink int, pixels []byte, width, height, from, to int) error {
	if len(data) == 0 || width < 1 || height < 1 || len(pixels) != 3*width*height || from < 0 || from >= to || to > width {
		return fmt.Errorf("cannot decode %d bytes of JPEG into %d bytes for %d×%d pixels, columns %d to %d",
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

// decode also returns how often the decoder checked the flag at stopped.
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
