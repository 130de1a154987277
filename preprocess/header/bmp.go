package header

import (
	"cmp"
	"encoding/binary"
	"slices"

	"fovea/internal/apierror"
)

// How a BMP's pixels are stored (BITMAPINFOHEADER's biCompression).
const (
	bmpPlain     = 0
	bmpRLE8      = 1
	bmpRLE4      = 2
	bmpBitfields = 3
)

// The masks of red, green and blue that OpenCV reads. With others it swaps colors.
var (
	bmp555 = [3]uint32{0x7C00, 0x03E0, 0x001F}
	bmp565 = [3]uint32{0xF800, 0x07E0, 0x001F}
	bmp888 = [3]uint32{0xFF0000, 0x00FF00, 0x0000FF}
)

// bmpAlpha is the mask of alpha in 32 bits. A header that is shorter than bmpAlphaHeader bytes has none.
const (
	bmpAlpha       = 0xFF000000
	bmpAlphaHeader = 56
)

// The supported bits per pixel by compression, and the supported masks by bits per pixel.
var (
	bmpBits  = map[uint32][]int{bmpPlain: {1, 4, 8, 16, 24, 32}, bmpRLE8: {8}, bmpRLE4: {4}, bmpBitfields: {16, 32}}
	bmpMasks = map[int][][3]uint32{16: {bmp555, bmp565}, 32: {bmp888}}
)

// BMPFile is a parsed BMP with complete headers of a supported kind.
type BMPFile struct {
	Width, Height int
	Bits          int          // per pixel: 1, 4, 8, 16, 24 or 32
	RunLength     bool         // run-length coded, with 4 or 8 bits
	Green6        bool         // 16-bit pixels have six bits of green, not five
	Alpha         bool         // the fourth byte of 32-bit pixels is their alpha
	TopDown       bool         // the first row is the topmost
	Palette       [256][3]byte // blue, green and red; missing entries are black
	Rows          []byte       // the file from its first row on; the last row may lack its padding

	compression uint32
	masks       [3]uint32 // with bmpBitfields
	colors      uint32    // palette entries; 0: one for each index
	entry       int       // bytes per palette entry
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
		return BMPFile{}, corrupt(BMP, "it has a header of %d bytes", size)
	}
	if len(data) < 14+int(size) {
		return BMPFile{}, truncated(BMP)
	}
	var bmp BMPFile
	bmp.header(data[14:], size)
	start := int(binary.LittleEndian.Uint32(data[10:]))
	switch {
	case !slices.Contains(bmpBits[bmp.compression], bmp.Bits):
		return BMPFile{}, apierror.New(apierror.UnsupportedFormat,
			"BMP with %d bits per pixel and compression %d is not supported; allowed: 1, 4, 8, 16, 24 and 32 bits, plain or run-length coded",
			bmp.Bits, bmp.compression)
	case bmp.compression == bmpBitfields && len(data) < 14+40+12:
		return BMPFile{}, truncated(BMP)
	case bmp.compression == bmpBitfields && !slices.Contains(bmpMasks[bmp.Bits], bmp.masks):
		return BMPFile{}, apierror.New(apierror.UnsupportedFormat,
			"BMP with %d bits per pixel and the masks %x is not supported; allowed: %x and %x for 16 bits, %x for 32",
			bmp.Bits, bmp.masks, bmp555, bmp565, bmp888)
	case start < 14+int(size):
		return BMPFile{}, corrupt(BMP, "its rows begin within its header")
	case start+bmp.bytes() > len(data):
		return bmp, truncated(BMP)
	}
	bmp.Rows = data[start:]
	if bmp.Bits > 8 {
		return bmp, nil
	}
	return bmp, bmp.palette(data[14+size:])
}

// palette reads the palette that follows the header.
func (bmp *BMPFile) palette(b []byte) error {
	colors := cmp.Or(bmp.colors, 1<<bmp.Bits)
	switch {
	case colors > uint32(len(bmp.Palette)):
		return corrupt(BMP, "its palette has %d colors", colors)
	case len(b) < int(colors)*bmp.entry:
		return truncated(BMP)
	}
	for i := range colors {
		copy(bmp.Palette[i][:], b[int(i)*bmp.entry:])
	}
	return nil
}

// header parses either kind of bitmap header. A negative height means rows from the top down; there is no negative width.
// Masks are at the same offset whether they end a header of 52 bytes or more or follow one of 40.
func (bmp *BMPFile) header(b []byte, size uint32) {
	order := binary.LittleEndian
	if size == 12 {
		bmp.Width, bmp.Height = int(order.Uint16(b[4:])), int(order.Uint16(b[6:]))
		bmp.Bits, bmp.entry = int(order.Uint16(b[10:])), 3
		return
	}
	height := int(int32(order.Uint32(b[8:])))
	bmp.Width, bmp.Height, bmp.TopDown = max(0, int(int32(order.Uint32(b[4:])))), max(height, -height), height < 0
	bmp.Bits, bmp.compression = int(order.Uint16(b[14:])), order.Uint32(b[16:])
	bmp.RunLength = bmp.compression == bmpRLE8 || bmp.compression == bmpRLE4
	bmp.colors, bmp.entry = order.Uint32(b[32:]), 4
	if bmp.compression == bmpBitfields && len(b) >= 40+12 {
		bmp.masks = [3]uint32{order.Uint32(b[40:]), order.Uint32(b[44:]), order.Uint32(b[48:])}
		bmp.Green6 = bmp.masks == bmp565
		bmp.Alpha = bmp.Bits == 32 && size >= bmpAlphaHeader && order.Uint32(b[52:]) == bmpAlpha
	}
}

// bytes returns the size of the rows, each padded to four bytes except for the last, whose padding some programs omit; 1 for
// run-length coded rows.
func (bmp *BMPFile) bytes() int {
	if bmp.RunLength {
		return 1
	}
	const tooMuch = 1 << 40 // beyond every limit; keeps the product from overflowing
	pitch := min((bmp.Width*bmp.Bits+31)/32*4, tooMuch/max(1, bmp.Height))
	padding := max(0, pitch-(bmp.Width*bmp.Bits+7)/8)
	return max(0, pitch*bmp.Height-padding)
}
