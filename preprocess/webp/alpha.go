package webp

/*
#include "decode.h"
*/
import "C"

import (
	"context"
	"errors"
)

// DecodeAlpha decodes the alpha of an image, three times each pixel's: 255 is opaque. Chunk is that of the image, as in Decode, and
// alpha the body of the ALPH chunk that belongs to a lossy image. Pixels, errors and ctx are as in Decode.
func DecodeAlpha(ctx context.Context, chunk, alpha, pixels []byte, width, height int) error {
	chunk, err := check(chunk, pixels, width, height)
	if err != nil {
		return err
	}
	if string(chunk[:4]) == "VP8L" {
		_, err = lossless(ctx, chunk[head:], pixels, width, height, C.FOVEA_WEBP_ALPHA)
		return err
	}
	return decodePlane(ctx, alpha, pixels, width, height)
}

// decodePlane decodes an ALPH chunk (RFC 9649, 2.7.1.2): a byte with the compression in its two lowest bits and the filter in the
// next two, then a byte a pixel or a lossless image whose green is alpha.
func decodePlane(ctx context.Context, alpha, pixels []byte, width, height int) error {
	if len(alpha) < 1 {
		return decodeErrors[C.FOVEA_WEBP_TRUNCATED]
	}
	compression, filter, data := alpha[0]&3, alpha[0]>>2&3, alpha[1:]
	switch compression {
	case 0:
		if len(data) < width*height {
			return decodeErrors[C.FOVEA_WEBP_TRUNCATED]
		}
	case 1:
		if _, err := lossless(ctx, data, pixels, width, height, C.FOVEA_WEBP_PLANE); err != nil {
			return err
		}
	default:
		return errors.New("the alpha has an unknown compression")
	}
	for y := range height {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := pixels[3*y*width:][:3*width]
		if compression == 0 {
			for x, v := range data[y*width:][:width] {
				row[3*x] = v
			}
		}
		var above []byte
		if y > 0 {
			above = pixels[3*(y-1)*width:][:3*width]
		}
		unfilter(filter, row, above)
	}
	return nil
}

// The filters: what predicts a value. The first row is predicted from the left, the first column from above.
const (
	filterNone = iota
	filterHorizontal
	filterVertical
	filterGradient
)

// unfilter adds the predictions to every third value of a row, and repeats them. Without a row above it is the first.
func unfilter(filter byte, row, above []byte) {
	if above == nil && filter != filterNone {
		filter = filterHorizontal
	}
	for i := 0; i < len(row); i += 3 {
		var predicted byte
		switch {
		case filter == filterNone:
		case i == 0 && above == nil:
		case i == 0, filter == filterVertical:
			predicted = above[i]
		case filter == filterHorizontal:
			predicted = row[i-3]
		default:
			predicted = byte(max(0, min(int(row[i-3])+int(above[i])-int(above[i-3]), 255)))
		}
		v := row[i] + predicted
		row[i], row[i+1], row[i+2] = v, v, v
	}
}
