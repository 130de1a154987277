// Package heif decodes AVIF and HEIC: their images' AV1 with dav1d, HEVC with libde265, colors by own code. A decoder runs in a separate
// process, which is the program again: it can be stopped at any time and gives back all it took, and what a crafted image makes
// of a decoder ends there. Neither library can be stopped within a frame.
package heif

import (
	"context"
	"errors"
	"fmt"
	"image"

	"fovea/preprocess/header"
)

// Decode decodes the primary image of an AVIF or a HEIC that header.ParseHEIF accepts into pixels: height rows of width pixels, blue, green
// and red, uint8, from the top, in the stored orientation; undefined after an error. Luma and chroma become colors by the matrix and
// range that the file names (ISO/IEC 23091-2), 10 and 12 bits are rounded to 8, alpha is dropped after colors multiplied by it were
// divided. Decoding returns ctx's error within a few milliseconds after ctx ends.
func Decode(ctx context.Context, data, pixels []byte, width, height int) error {
	file, err := parse(data, pixels, width, height)
	if err != nil {
		return err
	}
	if err := decode(ctx, file, &file.Color, false, pixels); err != nil || !file.Multiplied || file.Alpha == nil {
		return err
	}
	alpha := make([]byte, len(pixels))
	if err := decode(ctx, file, file.Alpha, true, alpha); err != nil {
		return err
	}
	divide(pixels, alpha)
	return nil
}

// DecodeAlpha works like Decode, and writes each pixel's alpha three times instead of its colors. It reports whether the file has no
// alpha, and then writes nothing.
func DecodeAlpha(ctx context.Context, data, pixels []byte, width, height int) (opaque bool, err error) {
	file, err := parse(data, pixels, width, height)
	if err != nil || file.Alpha == nil {
		return err == nil, err
	}
	return false, decode(ctx, file, file.Alpha, true, pixels)
}

func parse(data, pixels []byte, width, height int) (*header.HEIFFile, error) {
	file, err := header.ParseHEIF(data)
	if err == nil && (file.Width != width || file.Height != height || len(pixels) != 3*width*height) {
		err = fmt.Errorf("cannot decode an image of %d×%d pixels to %d×%d pixels in %d bytes", file.Width, file.Height, width, height, len(pixels))
	}
	return &file, err
}

// divide divides colors by their alpha, with rounding (avifRGBImageUnpremultiplyAlpha in libavif's src/alpha.c).
func divide(colors, alpha []byte) {
	for i, a := range alpha {
		if a != 0 && a != 255 {
			colors[i] = byte(min(255, (int(colors[i])*255+int(a)/2)/int(a)))
		}
	}
}

// part is a tile with pixels that are wanted.
type part struct {
	data [][]byte
	from image.Rectangle // of the tile
	to   image.Point     // in the image
}

// partsOf returns the tiles of an image that its crop shows.
func partsOf(img *header.HEIFImage, crop image.Rectangle) []part {
	var parts []part
	for i, data := range img.Tiles {
		corner := image.Pt(i%img.Columns*img.TileWidth, i/img.Columns*img.TileHeight)
		shown := image.Rectangle{Min: corner, Max: corner.Add(image.Pt(img.TileWidth, img.TileHeight))}.Intersect(crop)
		if !shown.Empty() {
			parts = append(parts, part{data, shown.Sub(corner), shown.Min.Sub(crop.Min)})
		}
	}
	return parts
}

// decode decodes an image in a decoder process.
func decode(ctx context.Context, file *header.HEIFFile, img *header.HEIFImage, alpha bool, pixels []byte) error {
	parts := partsOf(img, file.Crop)
	r := newRequest(file.Format, img, alpha, parts)
	p, err := start(ctx, r)
	if err != nil {
		return err
	}
	sent := p.send(img.Config[:r.head.config_bytes], parts)
	received := p.receive(parts, pixels, file.Width)
	return p.end(ctx, errors.Join(sent, received))
}
