package header

import (
	"encoding/binary"

	"fovea/internal/apierror"
)

// How a BMP's pixels are stored (BITMAPINFOHEADER's biCompression).
const (
	bmpPlain     = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitfields = 3
)

// bmpHeader is a parsed bitmap header.
type bmpHeader struct {
	width, height int64
	bits          int // per pixel
	compression   uint32
	masks         bmpMasks // with bmpBitfields
	topDown       bool
	colors        uint32 // palette entries, with up to 8 bits per pixel
	entry         int    // bytes per palette entry
}

// bmpMasks are the bits of a pixel that hold red, green and blue.
type bmpMasks [3]uint32

// The masks that OpenCV reads. With others it swaps colours.
var (
	bmp555 = bmpMasks{0x7C00, 0x03E0, 0x001F}
	bmp565 = bmpMasks{0xF800, 0x07E0, 0x001F}
	bmp888 = bmpMasks{0xFF0000, 0x00FF00, 0x0000FF}
)

// BMPFile is a parsed BMP with complete headers of a supported kind.
type BMPFile struct {
	Width, Height int
	Bits          int          // per pixel: 1, 4, 8, 16, 24 or 32
	RunLength     bool         // run-length coded, with 4 or 8 bits
	Green6        bool         // 16-bit pixels have six bits of green, not five
	TopDown       bool         // the first row is the topmost
	Palette       [256][3]byte // blue, green and red; missing entries are black
	Rows          []byte       // the file from its first row on; the last row may lack its padding
}

func readBMP(data []byte) (Info, error) {
	bmp, err := ParseBMP(data)
	if err != nil && bmp.Width == 0 {
		return Info{}, err
	}
	info := Info{Format: BMP, Width: bmp.Width, Height: bmp.Height, BitDepth: 8, Channels: 3}
	switch {
	case bmp.Bits <= 8:
		info.BitDepth = bmp.Bits
	case bmp.Bits == 16:
		info.BitDepth = 5
	case bmp.Bits == 32:
		info.Channels = 4
	}
	return info, err
}

// ParseBMP reads the file header and the bitmap header (BITMAPCOREHEADER of 12 bytes, BITMAPINFOHEADER of 40 and
// its successors) and checks that the rows are complete, unless they are run-length coded. Errors are *apierror.Error; for a
// truncated BMP the result still holds the size if that was reached.
func ParseBMP(data []byte) (BMPFile, error) {
	if len(data) < 18 {
		return BMPFile{}, truncated(BMP)
	}
	size := binary.LittleEndian.Uint32(data[14:])
	if size != 12 && (size < 40 || size > 124) {
		return BMPFile{}, broken(BMP, "it has a header of %d bytes", size)
	}
	if len(data) < 14+int(size) {
		return BMPFile{}, truncated(BMP)
	}
	h := parseBMP(data[14:], size)
	start := int64(binary.LittleEndian.Uint32(data[10:]))
	switch {
	case !h.supported():
		return BMPFile{}, apierror.New(apierror.UnsupportedFormat,
			"BMP with %d bits per pixel and compression %d is not supported; allowed: 1, 4, 8, 16, 24 and 32 bits, plain or run-length coded",
			h.bits, h.compression)
	case h.compression == bmpBitfields && len(data) < 14+40+12:
		return BMPFile{}, truncated(BMP)
	case !h.supportedMasks():
		return BMPFile{}, apierror.New(apierror.UnsupportedFormat,
			"BMP with %d bits per pixel and the masks %x is not supported; allowed: %x and %x for 16 bits, %x for 32",
			h.bits, h.masks, bmp555, bmp565, bmp888)
	case start < 14+int64(size):
		return BMPFile{}, broken(BMP, "its rows begin within its header")
	}
	bmp := BMPFile{
		Width: int(h.width), Height: int(h.height), Bits: h.bits, TopDown: h.topDown,
		RunLength: h.compression == bmpRLE8 || h.compression == bmpRLE4, Green6: h.masks == bmp565,
	}
	if start+h.bytes() > int64(len(data)) {
		return bmp, truncated(BMP)
	}
	bmp.Rows = data[start:]
	if h.bits > 8 {
		return bmp, nil
	}
	return bmp, bmp.palette(data[14+size:], h)
}

// palette reads the palette that follows the header.
func (bmp *BMPFile) palette(b []byte, h bmpHeader) error {
	switch {
	case h.colors > uint32(len(bmp.Palette)):
		return broken(BMP, "its palette has %d colours", h.colors)
	case len(b) < int(h.colors)*h.entry:
		return truncated(BMP)
	}
	for i := range h.colors {
		copy(bmp.Palette[i][:], b[int(i)*h.entry:])
	}
	return nil
}

// parseBMP parses either kind of bitmap header. A negative height means rows from the top down; there is no negative width.
// Masks are at the same offset whether they end a header of 52 bytes or more or follow one of 40.
func parseBMP(b []byte, size uint32) bmpHeader {
	if size == 12 {
		return bmpHeader{
			width:  int64(binary.LittleEndian.Uint16(b[4:])),
			height: int64(binary.LittleEndian.Uint16(b[6:])),
			bits:   int(binary.LittleEndian.Uint16(b[10:])),
			entry:  3,
		}.withColors()
	}
	height := int64(int32(binary.LittleEndian.Uint32(b[8:])))
	h := bmpHeader{
		width:       max(0, int64(int32(binary.LittleEndian.Uint32(b[4:])))),
		height:      max(height, -height),
		bits:        int(binary.LittleEndian.Uint16(b[14:])),
		compression: binary.LittleEndian.Uint32(b[16:]),
		topDown:     height < 0,
		colors:      binary.LittleEndian.Uint32(b[32:]),
		entry:       4,
	}
	for i := range h.masks {
		if at := 40 + 4*i; h.compression == bmpBitfields && len(b) >= at+4 {
			h.masks[i] = binary.LittleEndian.Uint32(b[at:])
		}
	}
	return h.withColors()
}

// withColors sets the default number of colours: one for each index.
func (h bmpHeader) withColors() bmpHeader {
	if h.colors == 0 && h.bits <= 8 {
		h.colors = 1 << h.bits
	}
	return h
}

// supportedMasks reports whether the masks are ones that OpenCV reads.
func (h bmpHeader) supportedMasks() bool {
	switch {
	case h.compression != bmpBitfields:
		return true
	case h.bits == 16:
		return h.masks == bmp555 || h.masks == bmp565
	}
	return h.masks == bmp888
}

// supported reports whether the depth and compression are supported.
func (h bmpHeader) supported() bool {
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

// bytes is the size of the rows, each padded to four bytes except for the last, whose padding some programs omit; 1 for
// run-length coded rows.
func (h bmpHeader) bytes() int64 {
	if h.compression == bmpRLE8 || h.compression == bmpRLE4 {
		return 1
	}
	const tooMuch = 1 << 40 // beyond every limit; keeps the product from overflowing
	pitch := min((h.width*int64(h.bits)+31)/32*4, tooMuch/max(1, h.height))
	padding := max(0, pitch-(h.width*int64(h.bits)+7)/8)
	return max(0, pitch*h.height-padding)
}
