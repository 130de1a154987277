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
}

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
	h := parseBMP(data[14 : 14+size])
	info := Info{Format: BMP, Width: int(h.width), Height: int(h.height), BitDepth: 8, Channels: 3}
	switch {
	case !h.exists():
		return Info{}, fault.New(fault.UnsupportedFormat,
			"BMP with %d bits a pixel and compression %d is not read; allowed are 1, 4, 8, 16, 24 and 32 bits, plain or run-length coded",
			h.bits, h.compression)
	case h.bits <= 8:
		info.BitDepth = h.bits
	case h.bits == 16:
		info.BitDepth = 5
	case h.bits == 32:
		info.Channels = 4
	}
	if int64(binary.LittleEndian.Uint32(data[10:]))+h.bytes() > int64(len(data)) {
		return info, short(BMP)
	}
	return info, nil
}

// parseBMP reads either kind of bitmap header. A negative height means rows from the top down; there is no
// negative width.
func parseBMP(b []byte) bmpHeader {
	if len(b) == 12 {
		return bmpHeader{
			width:  int64(binary.LittleEndian.Uint16(b[4:])),
			height: int64(binary.LittleEndian.Uint16(b[6:])),
			bits:   int(binary.LittleEndian.Uint16(b[10:])),
		}
	}
	height := int64(int32(binary.LittleEndian.Uint32(b[8:])))
	return bmpHeader{
		width:       max(0, int64(int32(binary.LittleEndian.Uint32(b[4:])))),
		height:      max(height, -height),
		bits:        int(binary.LittleEndian.Uint16(b[14:])),
		compression: binary.LittleEndian.Uint32(b[16:]),
	}
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
