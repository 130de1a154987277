package header

import (
	"encoding/binary"
	"image"
)

// GIFFile is a parsed GIF as far as its first frame.
type GIFFile struct {
	Width, Height int             // pixels of the canvas, extended to hold the frame, as Pillow does
	Frame         image.Rectangle // where the first frame lies; within the canvas
	Interlaced    bool
	Palette       [256][3]byte // red, green and blue; missing entries are black, and grays without any palette, as in Pillow
	Transparent   int          // the index of transparent pixels; -1 without one
	CodeSize      int          // bits of the smallest code, 2 to 8
	Blocks        []byte       // the file from the frame's first data block; the decoder finds out whether the rows are complete
}

// Blocks of a GIF (GIF89a, 20, 23, 25 and 27).
const (
	gifExtension  = '!'
	gifFrame      = ','
	gifTrailer    = ';'
	gifGraphics   = 0xF9
	gifHasPalette = 0x80
	gifInterlaced = 0x40
)

func readGIF(data []byte) (Info, error) {
	gif, err := ParseGIF(data)
	if err != nil && gif.Width == 0 {
		return Info{}, err
	}
	channels := 3
	if gif.Transparent >= 0 {
		channels = 4
	}
	return Info{Format: GIF, Width: gif.Width, Height: gif.Height, BitDepth: 8, Channels: channels, Progressive: gif.Interlaced}, err
}

// ParseGIF reads a GIF (GIF89a) to the data of its first frame. Extensions are skipped, except for the transparent color, as is
// what lies between two blocks. Errors are *apierror.Error; the result holds the size if that was reached.
func ParseGIF(data []byte) (GIFFile, error) {
	gif := GIFFile{Transparent: -1}
	if len(data) < 13 {
		return GIFFile{}, truncated(GIF)
	}
	for i := range gif.Palette {
		gif.Palette[i] = [3]byte{byte(i), byte(i), byte(i)}
	}
	order := binary.LittleEndian
	width, height := int(order.Uint16(data[6:])), int(order.Uint16(data[8:]))
	rest, ok := gif.palette(data[10], data[13:])
	for ok && len(rest) > 0 {
		switch kind := rest[0]; kind {
		case gifTrailer:
			return GIFFile{}, corrupt(GIF, "it has no frame")
		case gifExtension:
			rest, ok = gif.extension(rest[1:])
		case gifFrame:
			return gif.frame(width, height, rest[1:])
		default:
			rest = rest[1:]
		}
	}
	return GIFFile{}, truncated(GIF)
}

// palette reads the colors that flags announce, and returns what follows them.
func (gif *GIFFile) palette(flags byte, b []byte) (rest []byte, ok bool) {
	if flags&gifHasPalette == 0 {
		return b, true
	}
	colors := 2 << (flags & 7)
	if len(b) < 3*colors {
		return nil, false
	}
	gif.Palette = [256][3]byte{}
	for i := range colors {
		copy(gif.Palette[i][:], b[3*i:])
	}
	return b[3*colors:], true
}

// extension skips an extension, and takes the transparent color of a graphic control extension (GIF89a, 23).
func (gif *GIFFile) extension(b []byte) (rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, false
	}
	kind, rest := b[0], b[1:]
	if size := int(rest[0]); kind == gifGraphics && size >= 4 && len(rest) > size && rest[1]&1 != 0 {
		gif.Transparent = int(rest[4])
	}
	for len(rest) > 0 {
		size := int(rest[0])
		if len(rest) < 1+size {
			return nil, false
		}
		rest = rest[1+size:]
		if size == 0 {
			return rest, true
		}
	}
	return nil, false
}

// frame reads an image descriptor (GIF89a, 20) and what precedes the first data block.
func (gif *GIFFile) frame(width, height int, b []byte) (GIFFile, error) {
	if len(b) < 9 {
		return GIFFile{}, truncated(GIF)
	}
	order := binary.LittleEndian
	left, top := int(order.Uint16(b)), int(order.Uint16(b[2:]))
	gif.Frame = image.Rect(left, top, left+int(order.Uint16(b[4:])), top+int(order.Uint16(b[6:])))
	gif.Width, gif.Height, gif.Interlaced = max(width, gif.Frame.Max.X), max(height, gif.Frame.Max.Y), b[8]&gifInterlaced != 0
	rest, ok := gif.palette(b[8], b[9:])
	switch {
	case gif.Frame.Empty():
		return GIFFile{}, corrupt(GIF, "its first frame is %d×%d pixels", gif.Frame.Dx(), gif.Frame.Dy())
	case !ok || len(rest) == 0:
		return *gif, truncated(GIF)
	case rest[0] < 2 || rest[0] > 8:
		return *gif, corrupt(GIF, "its codes begin with %d bits, not 2 to 8", rest[0])
	}
	gif.CodeSize, gif.Blocks = int(rest[0]), rest[1:]
	return *gif, nil
}
