package jpeg

/*
#include "rows.h"
*/
import "C"

import (
	"context"
	"errors"
	"runtime"
	"unsafe"

	"fovea/preprocess/internal/stop"
)

// Part describes a JPEG that holds a strip or tile of another file's image.
type Part struct {
	Data, Tables []byte // Tables may be empty; they hold tables that Data lacks (ITU-T T.81, B.5)
	Width        int    // pixels
	Least, Most  int    // allowed rows; no more than Least are read
	Samples      int    // of a pixel
	YCbCr        bool   // convert to red, green and blue; other samples stay as they are
}

// Rows decodes a Part some rows at a time. It must be closed.
type Rows struct {
	rows    *C.struct_fovea_jpeg_rows
	pinned  runtime.Pinner
	stopped *stop.Flag
	ctx     context.Context //nolint:containedctx // of one decode
}

var rowsErrors = map[C.enum_fovea_jpeg_result]error{
	C.FOVEA_JPEG_TRUNCATED: ErrTruncated,
	C.FOVEA_JPEG_SHAPE:     errors.New("its JPEG data has another size or number of samples than it should, or several scans"),
	C.FOVEA_JPEG_CORRUPT:   errors.New("its JPEG data is not valid"),
	C.FOVEA_JPEG_MEMORY:    errors.New("out of memory"),
}

// Open reads the headers of a part. A JPEG of more than one scan is an error: its work is not bounded by its pixels.
func Open(ctx context.Context, p Part) (*Rows, error) {
	r := &Rows{ctx: ctx, stopped: stop.On(ctx)}
	for _, b := range [][]byte{p.Data, p.Tables} {
		if len(b) > 0 {
			r.pinned.Pin(unsafe.SliceData(b))
		}
	}
	ycc := C.int(0)
	if p.YCbCr {
		ycc = 1
	}
	result := C.fovea_jpeg_rows_open(&r.rows, (*C.uchar)(unsafe.SliceData(p.Tables)), C.size_t(len(p.Tables)),
		(*C.uchar)(unsafe.SliceData(p.Data)), C.size_t(len(p.Data)), C.int(p.Width), C.int(p.Least), C.int(p.Most), C.int(p.Samples),
		ycc, (*C.int)(r.stopped.Address()))
	if err := r.reason(result); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Read decodes the next n rows: a byte for each sample, without gaps. It returns ctx's error within a few milliseconds after ctx
// ends.
func (r *Rows) Read(out []byte, n int) error {
	return r.reason(C.fovea_jpeg_rows_read(r.rows, (*C.uchar)(unsafe.SliceData(out)), C.int(n), (*C.int)(r.stopped.Address())))
}

func (r *Rows) reason(result C.enum_fovea_jpeg_result) error {
	switch result {
	case C.FOVEA_JPEG_OK:
		return nil
	case C.FOVEA_JPEG_STOPPED:
		return r.ctx.Err()
	}
	return rowsErrors[result]
}

// Close frees the decoder.
func (r *Rows) Close() {
	C.fovea_jpeg_rows_close(r.rows)
	r.rows = nil
	r.pinned.Unpin()
	r.stopped.Release()
}
