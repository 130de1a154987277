package header

import (
	"encoding/binary"
	"image"

	"fovea/internal/apierror"
)

// readWebP walks the chunks of a WebP (RFC 9649): a single VP8 or VP8L chunk, or VP8X with others. Of an animation, the first
// frame counts. A file that is truncated after its image is complete, unless it announces EXIF data, which may hold the
// orientation.
func readWebP(data []byte) (Info, error) {
	end := int64(binary.LittleEndian.Uint32(data[4:])) + 8
	isTruncated := end > int64(len(data))
	end = min(end, int64(len(data)))
	info := Info{Format: WebP}
	var canvas image.Point
	var lacksEXIF bool
	for at := 12; at+8 <= int(end); {
		kind, body, next := riffChunk(data[:end], at)
		if next < 0 {
			isTruncated = true
			break
		}
		switch string(kind) {
		case "ALPH":
			info.alpha(body, at)
		case "VP8 ", "VP8L":
			if err := info.frame(string(kind), body, at); err != nil {
				return Info{}, err
			}
		case "VP8X":
			if len(body) < 10 {
				return Info{}, corrupt(WebP, "its VP8X chunk is too short")
			}
			info.Animated, lacksEXIF, info.transparent = body[0]&0x02 != 0, body[0]&0x08 != 0, body[0]&0x10 != 0
			canvas = image.Pt(1+uint24(body[4:]), 1+uint24(body[7:]))
		case "ANMF":
			if err := info.firstFrame(data[:end], at, next, canvas); err != nil {
				return Info{}, err
			}
		case "EXIF":
			info.Orientation, lacksEXIF = orientation(body), false
		}
		at = next
	}
	switch {
	case isTruncated && (info.Channels == 0 || lacksEXIF):
		return Info{}, truncated(WebP)
	case info.Channels == 0:
		return Info{}, corrupt(WebP, "it has no image data")
	}
	return info, nil
}

// riffChunk returns the chunk at an offset and the offset of the next one; -1 if the body is incomplete. Bodies are padded to
// even lengths.
func riffChunk(data []byte, at int) (kind, body []byte, next int) {
	n := int64(binary.LittleEndian.Uint32(data[at+4:]))
	if n > int64(len(data)-at-8) {
		return nil, nil, -1
	}
	stop := at + 8 + int(n)
	return data[at : at+4], data[at+8 : stop], stop + int(n&1)
}

// firstFrame reads an animation frame: 16 bytes with its position, then chunks with its image.
func (i *Info) firstFrame(data []byte, at, next int, canvas image.Point) error {
	if i.Channels != 0 {
		return nil // not the first
	}
	stop := min(next, len(data))
	if at+8+16 > stop {
		return corrupt(WebP, "its first frame has no position")
	}
	corner := image.Pt(2*uint24(data[at+8:]), 2*uint24(data[at+11:]))
	for at += 8 + 16; at+8 <= stop; {
		kind, body, after := riffChunk(data[:stop], at)
		if after < 0 {
			return truncated(WebP)
		}
		switch string(kind) {
		case "ALPH":
			i.alpha(body, at)
		case "VP8 ", "VP8L":
			if err := i.frame(string(kind), body, at); err != nil {
				return err
			}
			return i.onCanvas(corner, canvas)
		}
		at = after
	}
	return corrupt(WebP, "its first frame has no image data")
}

// onCanvas sets the image's size to that of the canvas, and the frame's position on it.
func (i *Info) onCanvas(corner, canvas image.Point) error {
	i.Frame = image.Rectangle{Min: corner, Max: corner.Add(image.Pt(i.Width, i.Height))}
	if i.Frame.Empty() || !i.Frame.In(image.Rectangle{Max: canvas}) {
		return corrupt(WebP, "its first frame lies outside its canvas of %d×%d pixels", canvas.X, canvas.Y)
	}
	i.Width, i.Height = canvas.X, canvas.Y
	return nil
}

// alpha notes an ALPH chunk, which precedes the image that it belongs to.
func (i *Info) alpha(body []byte, at int) {
	if i.Channels == 0 {
		i.alphaStart, i.alphaEnd = at+8, at+8+len(body)
	}
}

// uint24 reads a little-endian number of three bytes.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// frame parses the header of a VP8 key frame (RFC 6386, 9.1) or of a VP8L image (RFC 9649, 3.4) in the chunk at an offset.
func (i *Info) frame(kind string, b []byte, at int) error {
	switch {
	case i.Channels != 0:
		return nil // only the first counts
	case kind == "VP8 " && len(b) >= 10 && b[0]&1 == 0 && has(b, 3, "\x9d\x01\x2a"):
		i.Width = int(binary.LittleEndian.Uint16(b[6:]) & 0x3FFF)
		i.Height = int(binary.LittleEndian.Uint16(b[8:]) & 0x3FFF)
		i.Channels, i.lossyBytes = 3, len(b)
	case kind == "VP8L" && len(b) >= 5 && b[0] == 0x2F:
		bits := binary.LittleEndian.Uint32(b[1:])
		i.Width, i.Height = int(bits&0x3FFF)+1, int(bits>>14&0x3FFF)+1
		i.Channels = 3 + int(bits>>28&1)
	default:
		return corrupt(WebP, "its image data does not begin with a frame header")
	}
	i.BitDepth = 8
	i.frameStart, i.frameEnd = at, at+8+len(b)
	return nil
}

// The most that decoding a lossy WebP costs, in nanoseconds on a processor of 2024: each pixel is predicted and filtered,
// and has 1.5 coefficients. A photograph's data costs 40 a byte, but data can be written so that its coefficients take hardly
// more than a bit each; then only their number bounds the cost (tools/bench/corpus: "lossy, cheap coefficients").
const (
	lossyPixel        = 3
	lossyByte         = 115
	lossyCoefficients = 23 // those of a pixel
)

// maxLossyWork is the cost allowed for each pixel of an image at the limit of pixels, or at the default limit if that is
// higher: 1.5 times that of a photograph of 16 MiB. Only images above 42 megapixels can exceed it.
const maxLossyWork = 22

// checkLossy rejects a lossy WebP whose data may cost too much.
func (l Limits) checkLossy(info Info) error {
	coded := info.Coded()
	pixels := int64(coded.X) * int64(coded.Y)
	allowed := maxLossyWork*max(l.pixels(), DefaultMaxPixels) - lossyPixel*pixels
	if min(lossyByte*int64(info.lossyBytes), lossyCoefficients*pixels) <= allowed {
		return nil
	}
	return apierror.New(apierror.ImageTooLarge, "WebP has %d bytes of lossy data for %d×%d pixels; the limit for that size is %d bytes: save it with a lower quality, or smaller",
		info.lossyBytes, info.Width, info.Height, allowed/lossyByte)
}
