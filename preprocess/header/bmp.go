package header

import (
	"encoding/binary"

	"fovea/fault"
)

// How a BMP's pixels are stored (BITMAPINFOHEADER's biCompression).
const (
	bmpPlain     = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitfields = 3
)

// bmpHeader is what the headers of a BMP say.
type bmpHeader struct {
	width, height int64
	bits          int // of one pixel
	compression   uint32
	masks         bmpMasks // with bmpBitfields
}

// bmpMasks are the bits of a pixel that hold red, green and blue.
type bmpMasks [3]uint32

// The masks that OpenCV reads. Of others it would mix up the colours.
var (
	bmp555 = bmpMasks{0x7C00, 0x03E0, 0x001F}
	bmp565 = bmpMasks{0xF800, 0x07E0, 0x001F}
	bmp888 = bmpMasks{0xFF0000, 0x00FF00, 0x0000FF}
)

// readBMP reads the file header and the bitmap header (BITMAPCOREHEADER of 12 bytes, BITMAPINFOHEADER of 40 and
// its successors) and checks that the rows are all there. Of run-length coded rows only the place of the first is
// known here; OpenCV refuses those that end too soon.
func readBMP(data []byte) (Info, error) {
	size := binary.LittleEndian.Uint32(data[14:])
	if size != 12 && (size < 40 || size > 124) {
		return Info{}, broken(BMP, "it has a header of %d bytes", size)
	}
	if len(data) < 14+int(size) {
		return Info{}, short(BMP)
	}
	h := parseBMP(data[14:], size)
	start := int64(binary.LittleEndian.Uint32(data[10:]))
	info := Info{Format: BMP, Width: int(h.width), Height: int(h.height), BitDepth: 8, Channels: 3}
	switch {
	case !h.exists():
		return Info{}, fault.New(fault.UnsupportedFormat,
			"BMP with %d bits a pixel and compression %d is not read; allowed are 1, 4, 8, 16, 24 and 32 bits, plain or run-length coded",
			h.bits, h.compression)
	case h.compression == bmpBitfields && len(data) < 14+40+12:
		return Info{}, short(BMP)
	case !h.masked():
		return Info{}, fault.New(fault.UnsupportedFormat,
			"BMP with %d bits a pixel and the masks %x is not read; allowed are %x and %x for 16 bits, %x for 32",
			h.bits, h.masks, bmp555, bmp565, bmp888)
	case start < 14+int64(size):
		return Info{}, broken(BMP, "its rows begin within its header")
	case h.bits <= 8:
		info.BitDepth = h.bits
	case h.bits == 16:
		info.BitDepth = 5
	case h.bits == 32:
		info.Channels = 4
	}
	if start+h.bytes() > int64(len(data)) {
		return info, short(BMP)
	}
	return info, nil
}

// parseBMP reads either kind of bitmap header. A negative height means rows from the top down; there is no
// negative width. The masks are the last of a header of 52 bytes or more, and follow one of 40: either way they are in
// the same place.
func parseBMP(b []byte, size uint32) bmpHeader {
	if size == 12 {
		return bmpHeader{
			width:  int64(binary.LittleEndian.Uint16(b[4:])),
			height: int64(binary.LittleEndian.Uint16(b[6:])),
			bits:   int(binary.LittleEndian.Uint16(b[10:])),
		}
	}
	height := int64(int32(binary.LittleEndian.Uint32(b[8:])))
	h := bmpHeader{
		width:       max(0, int64(int32(binary.LittleEndian.Uint32(b[4:])))),
		height:      max(height, -height),
		bits:        int(binary.LittleEndian.Uint16(b[14:])),
		compression: binary.LittleEndian.Uint32(b[16:]),
	}
	for i := range h.masks {
		if at := 40 + 4*i; h.compression == bmpBitfields && len(b) >= at+4 {
			h.masks[i] = binary.LittleEndian.Uint32(b[at:])
		}
	}
	return h
}

// masked reports whether the colours are where OpenCV looks for them.
func (h bmpHeader) masked() bool {
	switch {
	case h.compression != bmpBitfields:
		return true
	case h.bits == 16:
		return h.masks == bmp555 || h.masks == bmp565
	}
	return h.masks == bmp888
}

// exists reports whether the pixels are stored in a way that is read.
func (h bmpHeader) exists() bool {
	switch h.compression {
	case bmpPlain:
		return h.bits == 1 || h.bits == 4 || h.bits == 8 || h.bits == 16 || h.bits == 24 || h.bits == 32
	case bmpRLE8:
		return h.bits == 8
	case bmpRLE4:
		return h.bits == 4
	case bmpBitfields:
		return h.bits == 16 || h.bits == 32
	}
	return false
}

// bytes is how much the rows take, each padded to four bytes; 1 for run-length coded ones.
func (h bmpHeader) bytes() int64 {
	if h.compression == bmpRLE8 || h.compression == bmpRLE4 {
		return 1
	}
	const tooMuch = 1 << 40 // no picture within the limits; keeps the product from overflowing
	return min((h.width*int64(h.bits)+31)/32*4, tooMuch/max(1, h.height)) * h.height
}
