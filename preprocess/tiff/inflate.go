package tiff

/*
#cgo CFLAGS: -O3
#cgo !customenv LDFLAGS: -lz
#include "inflate.h"
*/
import "C"

import (
	"context"
	"errors"
	"unsafe"

	"fovea/preprocess/internal/stop"
)

var inflateErrors = map[C.enum_fovea_inflate_result]error{
	C.FOVEA_INFLATE_ENDS:    errEnds,
	C.FOVEA_INFLATE_CORRUPT: errors.New("the compressed data is not valid"),
	C.FOVEA_INFLATE_BLOCKS:  errors.New("the compressed data has too many blocks"),
	C.FOVEA_INFLATE_MEMORY:  errors.New("out of memory"),
}

// inflater inflates the segments of a plane.
type inflater struct {
	ctx     context.Context //nolint:containedctx // of one decode
	stopped *stop.Flag
	stream  *C.struct_fovea_inflate
	rest    []byte // of the segment
	rows    []byte // inflated rows
	left    int    // bytes of rows not yet inflated
	ready   []byte // inflated rows not yet returned
}

// newInflater returns an inflater of at most so many compressed blocks.
func newInflater(ctx context.Context, blocks int) (*inflater, error) {
	stream := C.fovea_inflate_open(C.size_t(blocks))
	if stream == nil {
		return nil, inflateErrors[C.FOVEA_INFLATE_MEMORY]
	}
	return &inflater{ctx: ctx, stopped: stop.On(ctx), stream: stream}, nil
}

func (f *inflater) start(segment []byte, rows, rowBytes int) error {
	f.rest, f.left, f.ready = segment, rows*rowBytes, nil
	return f.reason(C.fovea_inflate_start(f.stream))
}

// atOnce is how many bytes of rows are decompressed at once, at least one row: calls of C and short runs of zlib are slow.
const atOnce = 1 << 16

func (f *inflater) next(rowBytes int) ([]byte, error) {
	if len(f.ready) == 0 {
		n := min(f.left, max(1, atOnce/rowBytes)*rowBytes)
		if cap(f.rows) < n {
			f.rows = make([]byte, n)
		}
		f.ready = f.rows[:n]
		used := C.size_t(len(f.rest))
		result := C.fovea_inflate_read(f.stream, (*C.uchar)(unsafe.SliceData(f.rest)), &used, (*C.uchar)(unsafe.SliceData(f.ready)), C.size_t(n),
			(*C.int)(f.stopped.Address()))
		if err := f.reason(result); err != nil {
			return nil, err
		}
		f.rest, f.left = f.rest[used:], f.left-n
	}
	row := f.ready[:rowBytes]
	f.ready = f.ready[rowBytes:]
	return row, nil
}

func (f *inflater) reason(result C.enum_fovea_inflate_result) error {
	switch result {
	case C.FOVEA_INFLATE_OK:
		return nil
	case C.FOVEA_INFLATE_STOPPED:
		return f.ctx.Err()
	}
	return inflateErrors[result]
}

func (f *inflater) close() {
	C.fovea_inflate_close(f.stream)
	f.stopped.Release()
}
