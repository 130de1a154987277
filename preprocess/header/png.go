package header

import (
	"encoding/binary"
	"hash/crc32"
	"strings"

	"fovea/internal/apierror"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngColors maps PNG's colour types to channels and allowed bit depths (PNG, third edition, table 8).
var pngColors = map[byte]struct {
	channels int
	depths   string
}{
	0: {1, "\x01\x02\x04\x08\x10"},
	2: {3, "\x08\x10"},
	3: {3, "\x01\x02\x04\x08"},
	4: {2, "\x08\x10"},
	6: {4, "\x08\x10"},
}

const pngIndexed = 3 // the colour type of palettes

// PNGFile is what the chunks of a PNG say that has an IHDR, what its colour type needs, and at least the beginning of an
// IDAT.
type PNGFile struct {
	Width, Height   int
	Depth, Color    int    // bits of a sample or of a palette index; colour type: 0, 2, 3, 4 or 6
	Interlaced      bool   // by Adam7
	Palette         []byte // red, green and blue of each entry, at most 256; nil without PLTE
	Chunks          []byte // the file from its first IDAT chunk on
	Cut             bool   // the file ends without IEND; whether the rows are there only the decoder knows
	animated        bool
	orientation     int
	hasData, hasEnd bool
}

func readPNG(data []byte) (Info, error) {
	png, err := ParsePNG(data)
	if err != nil && png.Width == 0 {
		return Info{}, err
	}
	return Info{
		Format: PNG, Width: png.Width, Height: png.Height, Orientation: png.orientation,
		BitDepth: png.Depth, Channels: pngColors[byte(png.Color)].channels, Progressive: png.Interlaced, Animated: png.animated,
	}, err
}

// ParsePNG walks the chunks of a PNG to IEND, and checks the critical ones and their checksums. Ancillary ones
// are passed over, but for eXIf and acTL. A file that ends within or behind its IDAT chunks is taken, since its rows may
// all be there. Errors are *fault.Fault; beside one of a PNG that is cut short stands its size.
func ParsePNG(data []byte) (PNGFile, error) {
	var png PNGFile
	for at := len(pngSignature); !png.hasEnd; {
		c, whole := pngChunkAt(data, at)
		switch {
		case !whole && png.hasData, png.hasData && !isPNGName(c.kind):
			png.Cut = true
			return png, nil
		case !whole && string(c.kind) == "IDAT" && png.Width > 0:
			png.Cut = true
		case !whole:
			return png, short(PNG)
		case png.Width == 0 && string(c.kind) != "IHDR" && string(c.kind) != "CgBI":
			return png, broken(PNG, "it does not begin with an IHDR chunk of 13 bytes")
		case !isAncillary(c.kind) && !c.isRight():
			return PNGFile{}, broken(PNG, "the checksum of its chunk %s is wrong", c.kind)
		}
		if err := png.take(c, data[at:]); err != nil {
			return PNGFile{}, err
		}
		if !whole {
			return png, nil
		}
		at = c.end
	}
	return png, nil
}

// take takes what a chunk says; rest is the file from the chunk on.
func (png *PNGFile) take(c pngChunk, rest []byte) error {
	switch string(c.kind) {
	case "CgBI":
		return apierror.New(apierror.UnsupportedFormat, "PNG in Apple's CgBI variant, as Xcode puts it into apps, is not read; "+
			"send the original, or what `xcrun pngcrush -revert-iphone-optimizations` makes of it")
	case "IHDR":
		return png.header(c.body)
	case "acTL":
		png.animated = true
	case "eXIf":
		png.orientation = orientation(c.body)
	}
	if isAncillary(c.kind) {
		return nil
	}
	switch string(c.kind) {
	case "PLTE":
		return png.palette(c.body)
	case "IDAT":
		return png.data(rest)
	case "IEND":
		png.hasEnd = true
		if !png.hasData {
			return broken(PNG, "it has no image data")
		}
		return nil
	}
	return broken(PNG, "its chunk %q is not known, and says that it must be", c.kind)
}

// header takes the body of IHDR.
func (png *PNGFile) header(b []byte) error {
	if png.Width > 0 || len(b) != 13 {
		return broken(PNG, "it does not begin with an IHDR chunk of 13 bytes")
	}
	width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if width > 1<<31-1 || height > 1<<31-1 || width == 0 || height == 0 {
		return broken(PNG, "its size is %d×%d pixels", width, height)
	}
	color, known := pngColors[b[9]]
	if !known || strings.IndexByte(color.depths, b[8]) < 0 {
		return broken(PNG, "colour type %d with %d bits does not exist", b[9], b[8])
	}
	if b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return broken(PNG, "compression %d, filter %d and interlacing %d do not exist together", b[10], b[11], b[12])
	}
	png.Width, png.Height = int(width), int(height)
	png.Depth, png.Color, png.Interlaced = int(b[8]), int(b[9]), b[12] == 1
	return nil
}

// palette takes the body of PLTE, which other colour types than the indexed may have as a hint.
func (png *PNGFile) palette(b []byte) error {
	switch {
	case png.Palette != nil:
		return broken(PNG, "it has two palettes")
	case png.hasData || png.Color != pngIndexed:
		return nil
	case len(b) == 0 || len(b)%3 != 0 || len(b) > 3*256:
		return broken(PNG, "its palette has %d bytes", len(b))
	}
	png.Palette = b
	return nil
}

func (png *PNGFile) data(rest []byte) error {
	if png.hasData {
		return nil
	}
	if png.Color == pngIndexed && png.Palette == nil {
		return broken(PNG, "its palette is missing")
	}
	png.hasData, png.Chunks = true, rest
	return nil
}

// pngChunk is a chunk: four bytes of length, four of type, the body, four of checksum.
type pngChunk struct {
	kind     []byte
	body     []byte
	checked  []byte // type and body
	checksum uint32
	end      int // where the next one begins
}

// pngChunkAt reads the chunk at a place; of one that is not all there, the type at most.
func pngChunkAt(data []byte, at int) (c pngChunk, whole bool) {
	if len(data)-at < 8 {
		return c, false
	}
	c.kind = data[at+4 : at+8]
	length := int64(binary.BigEndian.Uint32(data[at:]))
	if length > int64(len(data)-at-12) {
		return c, false
	}
	body := at + 8 + int(length)
	c.body, c.checked, c.end = data[at+8:body], data[at+4:body], body+4
	c.checksum = binary.BigEndian.Uint32(data[body:])
	return c, true
}

func (c pngChunk) isRight() bool { return crc32.ChecksumIEEE(c.checked) == c.checksum }

// isAncillary reports whether a decoder may pass a chunk over (PNG, third edition, 5.4: bit 5 of the first letter).
func isAncillary(kind []byte) bool { return kind[0]&0x20 != 0 }

// isPNGName reports whether these are the four letters of a chunk's type.
func isPNGName(kind []byte) bool {
	for _, c := range kind {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}
