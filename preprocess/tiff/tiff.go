// Package tiff decodes the first page of a TIFF: strips and tiles, plain or compressed with LZW, deflate, PackBits or JPEG, whose
// decompressors are those of golang.org/x/image, zlib and libjpeg-turbo. golang.org/x/image/tiff reads neither JPEG nor CMYK nor
// separate planes, allocates 8 bytes a pixel, and cannot be canceled; libtiff decodes a whole tile before it returns.
package tiff

import (
	"context"
	"errors"
	"fmt"

	"fovea/preprocess/header"
	"fovea/preprocess/jpeg"
)

var errEnds = errors.New("the data of a strip or tile ends before its rows do")

// Decode decodes the first page of a TIFF that header.ParseTIFF accepts into pixels: height rows of width pixels, blue, green and
// red, uint8, from the top, in the stored orientation; undefined after an error. Palettes, gray and CMYK become three channels by
// Pillow's formulas, alpha is dropped after colors multiplied by it were divided, and 16 bits are reduced to their higher eight. No
// more is decompressed than the rows need. Decoding returns ctx's error within a few milliseconds after ctx ends.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	file, err := parse(data, pixels, width, height)
	if err != nil {
		return err
	}
	return decode(ctx, file, newColors(file), pixels)
}

// DecodeAlpha works like Decode, and writes each pixel's alpha three times instead of its colors. It reports whether the file has no
// alpha, and then writes nothing.
func DecodeAlpha(ctx context.Context, data, pixels []byte, width, height int) (opaque bool, err error) {
	file, err := parse(data, pixels, width, height)
	if err != nil || file.Alpha == header.TIFFOpaque {
		return err == nil, err
	}
	return false, decode(ctx, file, newAlphas(file), pixels)
}

func parse(data, pixels []byte, width, height int) (*header.TIFFFile, error) {
	file, err := header.ParseTIFF(data)
	if err == nil && (file.Width != width || file.Height != height || len(pixels) != 3*width*height) {
		err = fmt.Errorf("cannot decode a TIFF of %d×%d pixels to %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	return &file, err
}

// converter writes the pixels of a row of 8-bit samples, those of a pixel next to each other.
type converter func(to, samples []byte)

type decoder struct {
	ctx     context.Context //nolint:containedctx // of one call
	file    *header.TIFFFile
	convert converter
	pixels  []byte
	sources []source // one per plane
	bytes   []byte   // the 8-bit samples of a row
}

func decode(ctx context.Context, file *header.TIFFFile, convert converter, pixels []byte) (err error) {
	d := &decoder{ctx: ctx, file: file, convert: convert, pixels: pixels, bytes: make([]byte, file.SegmentWidth*file.Samples)}
	planes := 1
	if file.Separate {
		planes = file.Samples
	}
	defer func() {
		for _, s := range d.sources {
			s.close()
		}
	}()
	for range planes {
		s, err := newSource(ctx, file)
		if err != nil {
			return err
		}
		d.sources = append(d.sources, s)
	}
	for i := range file.Across * file.Down {
		if err := d.segment(i); err != nil {
			if errors.Is(err, jpeg.ErrTruncated) {
				return errEnds
			}
			return err
		}
	}
	return nil
}

// segment decodes the i-th segment of each plane.
func (d *decoder) segment(i int) error {
	f := d.file
	left, top := i%f.Across*f.SegmentWidth, i/f.Across*f.SegmentHeight
	width, rows := min(f.SegmentWidth, f.Width-left), min(f.SegmentHeight, f.Height-top)
	rowBytes := f.RowBytes()
	for plane, s := range d.sources {
		if err := s.start(f.Segment(plane*f.Across*f.Down+i), rows, rowBytes); err != nil {
			return err
		}
	}
	for y := range rows {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		samples, err := d.row(rowBytes)
		if err != nil {
			return err
		}
		d.convert(d.pixels[3*((top+y)*f.Width+left):][:3*width], samples)
	}
	return nil
}

// row returns the 8-bit samples of the next row of a segment.
func (d *decoder) row(rowBytes int) ([]byte, error) {
	f := d.file
	for plane, s := range d.sources {
		row, err := s.next(rowBytes)
		if err != nil {
			return nil, err
		}
		step := 1
		if !f.Separate {
			step = f.Samples
		}
		if f.Differences {
			sum(row, step, f.Bits, f.BigEndian)
		}
		switch {
		case f.Separate:
			unpack(row, d.bytes[plane:], f.Samples, f.Bits, f.BigEndian)
		case f.Bits == 8:
			return row, nil
		default:
			unpack(row, d.bytes, 1, f.Bits, f.BigEndian)
		}
	}
	return d.bytes, nil
}
