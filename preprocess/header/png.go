package header

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"

	"fovea/internal/apierror"
)

const pngSignature = "\x89PNG\r\n\x1a\n"

// pngColors maps PNG's color types to channels and allowed bit depths (PNG, third edition, table 8).
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

const pngIndexed = 3 // the color type of palettes

// PNGFile is a parsed PNG with an IHDR, the palette that its color type needs, and at least the beginning of an IDAT.
type PNGFile struct {
	Width, Height   int
	Depth, Color    int    // bits of a sample or of a palette index; color type: 0, 2, 3, 4 or 6
	Interlaced      bool   // by Adam7
	Palette         []byte // red, green and blue of at most 256 entries; nil without PLTE
	Transparency    []byte // the alpha of palette entries, or the transparent color in samples of 16 bits; nil without a valid tRNS
	Chunks          []byte // the file from its first IDAT chunk
	Truncated       bool   // the file ends without IEND; the decoder finds out whether the rows are complete
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

// ParsePNG walks the chunks of a PNG to IEND, and checks the critical ones and their checksums. Ancillary ones are skipped,
// except for eXIf, acTL and tRNS. A file that ends within or after its IDAT chunks is accepted, since its rows may be complete.
// Errors are *apierror.Error; for a truncated PNG the result still holds the size if that was reached.
func ParsePNG(data []byte) (PNGFile, error) {
	var png PNGFile
	for at := len(pngSignature); !png.hasEnd; {
		c, complete := pngChunkAt(data, at)
		switch {
		case !complete && png.hasData, png.hasData && !isPNGName(c.kind):
			png.Truncated = true
			return png, nil
		case !complete && string(c.kind) == "IDAT" && png.Width > 0:
			png.Truncated = true
		case !complete:
			return png, truncated(PNG)
		case png.Width == 0 && string(c.kind) != "IHDR" && string(c.kind) != "CgBI":
			return png, corrupt(PNG, "it does not begin with an IHDR chunk of 13 bytes")
		case !isAncillary(c.kind) && !c.isIntact():
			return PNGFile{}, corrupt(PNG, "the checksum of its chunk %s is wrong", c.kind)
		}
		if err := png.take(c, data[at:]); err != nil {
			return PNGFile{}, err
		}
		if !complete {
			return png, nil
		}
		at = c.end
	}
	return png, nil
}

// take reads a chunk; rest is the file from the chunk on.
func (png *PNGFile) take(c pngChunk, rest []byte) error {
	switch string(c.kind) {
	case "CgBI":
		return apierror.New(apierror.UnsupportedFormat, "PNG in Apple's CgBI variant, as in iOS apps, is not supported; "+
			"send the original, or convert it with `xcrun pngcrush -revert-iphone-optimizations`")
	case "IHDR":
		return png.header(c.body)
	case "acTL":
		png.animated = true
	case "eXIf":
		png.orientation = orientation(c.body)
	case "PLTE":
		return png.palette(c.body)
	case "tRNS":
		png.transparency(c.body)
	case "IDAT":
		if png.Color == pngIndexed && png.Palette == nil {
			return corrupt(PNG, "its palette is missing")
		}
		if !png.hasData {
			png.hasData, png.Chunks = true, rest
		}
	case "IEND":
		if !png.hasData {
			return corrupt(PNG, "it has no image data")
		}
		png.hasEnd = true
	default:
		if !isAncillary(c.kind) {
			return corrupt(PNG, "its critical chunk %q is unknown", c.kind)
		}
	}
	return nil
}

// header parses IHDR.
func (png *PNGFile) header(b []byte) error {
	if png.Width > 0 || len(b) != 13 {
		return corrupt(PNG, "it does not begin with an IHDR chunk of 13 bytes")
	}
	width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if width > 1<<31-1 || height > 1<<31-1 || width == 0 || height == 0 {
		return corrupt(PNG, "its size is %d×%d pixels", width, height)
	}
	color, known := pngColors[b[9]]
	if !known || strings.IndexByte(color.depths, b[8]) < 0 {
		return corrupt(PNG, "color type %d with %d bits does not exist", b[9], b[8])
	}
	if b[10] != 0 || b[11] != 0 || b[12] > 1 {
		return corrupt(PNG, "compression %d, filter %d and interlacing %d do not exist together", b[10], b[11], b[12])
	}
	png.Width, png.Height = int(width), int(height)
	png.Depth, png.Color, png.Interlaced = int(b[8]), int(b[9]), b[12] == 1
	return nil
}

// palette parses PLTE, which is only a hint for color types other than indexed.
func (png *PNGFile) palette(b []byte) error {
	switch {
	case png.Palette != nil:
		return corrupt(PNG, "it has two palettes")
	case png.hasData || png.Color != pngIndexed:
		return nil
	case len(b) == 0 || len(b)%3 != 0 || len(b) > 3*256:
		return corrupt(PNG, "its palette has %d bytes", len(b))
	}
	png.Palette = b
	return nil
}

// transparency parses tRNS (PNG, third edition, 11.3.1.1). One that does not fit the color type is ignored, as it is
// ancillary.
func (png *PNGFile) transparency(b []byte) {
	fits := map[int]bool{0: len(b) == 2, 2: len(b) == 6, pngIndexed: len(b) <= len(png.Palette)/3}[png.Color]
	if fits && !png.hasData && len(b) > 0 {
		png.Transparency = b
	}
}

// pngChunk is a chunk: four bytes of length, four of type, the body, four of checksum.
type pngChunk struct {
	kind     []byte
	body     []byte
	checked  []byte // type and body
	checksum uint32
	end      int // offset of the next chunk
}

// pngChunkAt reads the chunk at an offset; of an incomplete one, at most the type.
func pngChunkAt(data []byte, at int) (c pngChunk, complete bool) {
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

func (c pngChunk) isIntact() bool { return crc32.ChecksumIEEE(c.checked) == c.checksum }

// isAncillary reports whether a decoder may skip a chunk (PNG, third edition, 5.4: bit 5 of the first letter).
func isAncillary(kind []byte) bool { return kind[0]&0x20 != 0 }

// isPNGName reports whether kind is four letters, as a chunk's type must be.
func isPNGName(kind []byte) bool {
	return !slices.ContainsFunc(kind, func(c byte) bool { return c|0x20 < 'a' || c|0x20 > 'z' })
}
