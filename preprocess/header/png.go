package header

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
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

// readPNG walks all chunks to IEND. The checksum of the header is checked here; those of the other critical
// chunks, and that the rows are all there, are checked by libpng, which refuses the picture.
func readPNG(data []byte) (Info, error) {
	rest := data[len(pngSignature):]
	kind, body, rest, ok := pngChunk(rest)
	if !ok {
		return Info{}, short(PNG)
	}
	if string(kind) != "IHDR" || len(body) != 13 {
		return Info{}, broken(PNG, "it does not begin with an IHDR chunk of 13 bytes")
	}
	header := data[len(pngSignature)+4:]
	if crc32.ChecksumIEEE(header[:17]) != binary.BigEndian.Uint32(header[17:]) {
		return Info{}, broken(PNG, "the checksum of its header is wrong")
	}
	info, err := pngHeader(body)
	if err != nil {
		return Info{}, err
	}
	for pixels := false; ; {
		if kind, body, rest, ok = pngChunk(rest); !ok {
			return info, short(PNG)
		}
		info.ancillary = info.ancillary || ancillary(kind)
		switch string(kind) {
		case "IDAT":
			pixels = true
		case "acTL":
			info.Animated = true
		case "eXIf":
			info.Orientation = orientation(body)
		case "IEND":
			if !pixels {
				return Info{}, broken(PNG, "it has no picture data")
			}
			return info, nil
		}
	}
}

// pngChunk cuts the next chunk off: four bytes of length, four of type, the body, four of checksum.
func pngChunk(data []byte) (kind, body, rest []byte, ok bool) {
	if len(data) < 12 {
		return nil, nil, nil, false
	}
	n := int64(binary.BigEndian.Uint32(data))
	if n > int64(len(data)-12) {
		return nil, nil, nil, false
	}
	return data[4:8], data[8 : 8+n], data[12+n:], true
}

// pngHeader reads the body of IHDR.
func pngHeader(b []byte) (Info, error) {
	width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	if width > 1<<31-1 || height > 1<<31-1 {
		return Info{}, broken(PNG, "its size is %d×%d pixels", width, height)
	}
	color, known := pngColors[b[9]]
	if !known || strings.IndexByte(color.depths, b[8]) < 0 {
		return Info{}, broken(PNG, "colour type %d with %d bits does not exist", b[9], b[8])
	}
	return Info{
		Format: PNG, Width: int(width), Height: int(height),
		BitDepth: int(b[8]), Channels: color.channels, Progressive: b[12] != 0,
	}, nil
}

// ancillary reports whether a decoder may leave a chunk out (PNG, third edition, 5.4: bit 5 of the first letter).
func ancillary(kind []byte) bool { return kind[0]&0x20 != 0 }

// barePNG copies a PNG that readPNG has passed without its ancillary chunks and without what follows IEND.
func barePNG(data []byte) []byte {
	bare := append(make([]byte, 0, len(data)), pngSignature...)
	for rest := data[len(pngSignature):]; ; {
		kind, body, next, ok := pngChunk(rest)
		if !ok {
			return bare
		}
		if !ancillary(kind) {
			bare = append(bare, rest[:12+len(body)]...)
		}
		if string(kind) == "IEND" {
			return bare
		}
		rest = next
	}
}
