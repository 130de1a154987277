// Package bmp decodes Windows bitmaps.
package bmp

import (
	"context"
	"encoding/binary"
	"fmt"

	"fovea/preprocess/header"
)

// checkInterval is how many pixels are decoded between two checks of the context: a few hundred microseconds.
const checkInterval = 1 << 17

// Decode decodes a BMP that header.ParseBMP accepts into pixels: height rows of width pixels, blue, green and red, uint8, from
// the top; undefined after an error. Alpha is dropped; 5 and 6 bits are shifted up to 8. Pixels that a run-length coded BMP
// skips have the first color of its palette, as in OpenCV. Decoding returns ctx's error within a few milliseconds after ctx
// ends.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	d, err := newDecoder(ctx, data, pixels, width, height)
	if err != nil {
		return err
	}
	for i, c := range d.Palette {
		d.colors[i] = uint32(c[0]) | uint32(c[1])<<8 | uint32(c[2])<<16
	}
	if d.RunLength {
		return d.runs(d.Rows)
	}
	return d.rows()
}

// DecodeAlpha decodes the alpha of such a BMP, three times for each pixel. It reports whether there is none, and then writes nothing.
// As in Pillow only a mask makes the fourth byte of a pixel its alpha.
func DecodeAlpha(ctx context.Context, data, pixels []byte, width, height int) (opaque bool, err error) {
	d, err := newDecoder(ctx, data, pixels, width, height)
	if err != nil || !d.Alpha {
		return err == nil, err
	}
	for y := range d.Height {
		if err := d.tick(d.Width); err != nil {
			return false, err
		}
		from, to := d.Rows[4*y*d.Width:], d.row(y)
		for x := range d.Width {
			alpha := from[4*x+3]
			to[3*x], to[3*x+1], to[3*x+2] = alpha, alpha, alpha
		}
	}
	return false, nil
}

// newDecoder parses a file, whose pixels must fit.
func newDecoder(ctx context.Context, data, pixels []byte, width, height int) (*decoder, error) {
	file, err := header.ParseBMP(data)
	if err != nil {
		return nil, err
	}
	if file.Width != width || file.Height != height || len(pixels) != 3*width*height {
		return nil, fmt.Errorf("cannot decode a BMP of %d×%d pixels to %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	return &decoder{ctx: ctx, BMPFile: &file, pixels: pixels}, nil
}

type decoder struct {
	*header.BMPFile
	ctx     context.Context //nolint:containedctx // of one call
	pixels  []byte
	decoded int         // pixels since the last check of the context
	colors  [256]uint32 // the palette, one number per color
}

// tick counts pixels and checks the context from time to time.
func (d *decoder) tick(pixels int) error {
	if d.decoded += pixels; d.decoded < checkInterval {
		return nil
	}
	d.decoded = 0
	return d.ctx.Err()
}

// row returns the memory of a row, by its number in the file.
func (d *decoder) row(y int) []byte {
	if !d.TopDown {
		y = d.Height - 1 - y
	}
	return d.pixels[3*y*d.Width:][:3*d.Width]
}

// rows decodes rows that are not run-length coded; each is padded to four bytes.
func (d *decoder) rows() error {
	pitch := (d.Width*d.Bits + 31) / 32 * 4
	for y := range d.Height {
		if err := d.tick(d.Width); err != nil {
			return err
		}
		from, to := d.Rows[y*pitch:], d.row(y)
		switch d.Bits {
		case 1, 4:
			d.small(from, to)
		case 8:
			d.indices(from[:d.Width], to)
		case 16:
			d.packed(from, to)
		case 24:
			copy(to, from)
		case 32:
			for len(to) >= 3 {
				copy(to[:3], from[:3])
				from, to = from[4:], to[3:]
			}
		}
	}
	return nil
}

// small reads indices of 1 or 4 bits, the first in the highest bits of a byte.
func (d *decoder) small(from, to []byte) {
	bits, mask := uint(d.Bits), byte(1<<d.Bits-1)
	shift := uint(8)
	for len(to) >= 3 {
		shift -= bits
		*(*[3]byte)(to) = d.Palette[from[0]>>shift&mask]
		to = to[3:]
		if shift == 0 {
			shift, from = 8, from[1:]
		}
	}
}

// indices reads indices of 8 bits. Four bytes are written at once; the last one belongs to the next pixel.
func (d *decoder) indices(from, to []byte) {
	last := len(from) - 1
	for _, index := range from[:last] {
		binary.LittleEndian.PutUint32(to, d.colors[index])
		to = to[3:]
	}
	*(*[3]byte)(to) = d.Palette[from[last]]
}

// packed reads pixels of 16 bits: five per color, or six of green.
func (d *decoder) packed(from, to []byte) {
	for len(to) >= 3 {
		v := binary.LittleEndian.Uint16(from)
		if d.Green6 {
			to[0], to[1], to[2] = byte(v<<3), byte(v>>3&^3), byte(v>>8&^7)
		} else {
			to[0], to[1], to[2] = byte(v<<3), byte(v>>2&^7), byte(v>>7&^7)
		}
		from, to = from[2:], to[3:]
	}
}
