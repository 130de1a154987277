// Package gif decodes the first frame of a GIF. Its LZW is the standard library's; image/gif, which uses it too, holds a frame
// twice, refuses frames that reach beyond the canvas, and cannot be canceled.
package gif

import (
	"compress/lzw"
	"context"
	"errors"
	"fmt"
	"io"

	"fovea/preprocess/header"
)

// ErrTruncated is the error of a file that ends before the frame's rows do.
var ErrTruncated = errors.New("the file ends before its rows do")

// opaque is the alpha of all pixels but the transparent ones.
const opaque = 255

// Decode decodes the first frame of a GIF that header.ParseGIF accepts into pixels: height rows of width pixels of the canvas,
// blue, green and red, uint8, from the top; undefined after an error. The canvas around the frame has the transparent color, or
// the palette's first, as in Pillow. What follows the last row is not decompressed. A file that ends before the rows do is
// ErrTruncated. Decoding returns ctx's error within a few milliseconds after ctx ends.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	file, err := parse(data, pixels, width, height)
	if err != nil {
		return err
	}
	var colors [256][3]byte
	for i, c := range file.Palette {
		colors[i] = [3]byte{c[2], c[1], c[0]}
	}
	return decode(ctx, file, &colors, pixels)
}

// DecodeAlpha works like Decode, and writes each pixel's alpha three times instead of its colors: 0 is transparent. It reports
// whether no color is transparent, and then writes nothing.
func DecodeAlpha(ctx context.Context, data, pixels []byte, width, height int) (allOpaque bool, err error) {
	file, err := parse(data, pixels, width, height)
	if err != nil || file.Transparent < 0 {
		return err == nil, err
	}
	var alphas [256][3]byte
	for i := range alphas {
		if i != file.Transparent {
			alphas[i] = [3]byte{opaque, opaque, opaque}
		}
	}
	return false, decode(ctx, file, &alphas, pixels)
}

func parse(data, pixels []byte, width, height int) (header.GIFFile, error) {
	file, err := header.ParseGIF(data)
	if err == nil && (file.Width != width || file.Height != height || len(pixels) != 3*width*height) {
		err = fmt.Errorf("cannot decode a GIF of %d×%d pixels to %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	return file, err
}

// pass is a part of the rows that are stored consecutively: every step-th from first on.
type pass struct{ first, step int }

var (
	whole      = []pass{{0, 1}}
	interlaced = []pass{{0, 8}, {4, 8}, {2, 4}, {1, 2}} // GIF89a, appendix E
)

// decode writes what each index of the frame maps to.
func decode(ctx context.Context, file header.GIFFile, values *[256][3]byte, pixels []byte) error {
	frame, stride := file.Frame, 3*file.Width
	if err := fill(ctx, pixels, values[max(0, file.Transparent)], stride); err != nil {
		return err
	}
	blocks := &blockReader{ctx: ctx, rest: file.Blocks}
	indices := lzw.NewReader(blocks, lzw.LSB, file.CodeSize)
	defer indices.Close()
	row := make([]byte, frame.Dx())
	passes := whole
	if file.Interlaced {
		passes = interlaced
	}
	for _, p := range passes {
		for y := p.first; y < frame.Dy(); y += p.step {
			if _, err := io.ReadFull(indices, row); err != nil {
				return reason(err, blocks.ended)
			}
			to := pixels[(frame.Min.Y+y)*stride+3*frame.Min.X:][:3*len(row)]
			for x, index := range row {
				*(*[3]byte)(to[3*x:]) = values[index]
			}
		}
	}
	return nil
}

// fill sets all pixels to a color.
func fill(ctx context.Context, pixels []byte, color [3]byte, stride int) error {
	copy(pixels, color[:])
	for done := 3; done < stride; done *= 2 {
		copy(pixels[done:stride], pixels[:done])
	}
	const step = 64
	for at := stride; at < len(pixels); at += stride {
		if at/stride%step == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		copy(pixels[at:], pixels[:stride])
	}
	return nil
}

// reason returns the error of a row that could not be read: that of the context as it is. The end code within a row is io.EOF.
func reason(err error, ended bool) error {
	short := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case short && ended:
		return ErrTruncated
	case short:
		return errors.New("the compressed data ends before the rows do")
	}
	return err
}

// blockReader reads the bytes of data blocks (GIF89a, 15), the last of which is empty.
type blockReader struct {
	ctx   context.Context //nolint:containedctx // of one call
	rest  []byte          // from the next block on
	block []byte          // what is left of the current block
	ended bool            // the file ended within a block or without an empty one
}

// ReadByte implements io.ByteReader.
func (r *blockReader) ReadByte() (byte, error) {
	if len(r.block) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	b := r.block[0]
	r.block = r.block[1:]
	return b, nil
}

// next takes the next block, or what there is of it, and checks the context: a block is at most 255 bytes.
func (r *blockReader) next() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if len(r.rest) == 0 {
		r.ended = true
		return io.EOF
	}
	size := min(int(r.rest[0]), len(r.rest)-1)
	if size == 0 {
		r.ended = r.rest[0] > 0
		return io.EOF
	}
	r.block, r.rest = r.rest[1:1+size], r.rest[1+size:]
	return nil
}

// Read implements io.Reader, which package lzw wants and does not use.
func (r *blockReader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}
