package header

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Tags of a TIFF's directory (TIFF 6.0, appendix A; technical note 2 for 347).
const (
	tagWidth        = 256
	tagHeight       = 257
	tagBits         = 258
	tagCompression  = 259
	tagColor        = 262
	tagFillOrder    = 266
	tagStripOffsets = 273
	tagOrientation  = 274
	tagSamples      = 277
	tagRowsPerStrip = 278
	tagStripCounts  = 279
	tagPlanar       = 284
	tagPredictor    = 317
	tagPalette      = 320
	tagTileWidth    = 322
	tagTileHeight   = 323
	tagTileOffsets  = 324
	tagTileCounts   = 325
	tagExtraSamples = 338
	tagSampleFormat = 339
	tagTables       = 347
)

var tiffTags = map[uint16]bool{
	tagWidth: true, tagHeight: true, tagBits: true, tagCompression: true, tagColor: true, tagFillOrder: true, tagStripOffsets: true,
	tagOrientation: true, tagSamples: true, tagRowsPerStrip: true, tagStripCounts: true, tagPlanar: true, tagPredictor: true,
	tagPalette: true, tagTileWidth: true, tagTileHeight: true, tagTileOffsets: true, tagTileCounts: true, tagExtraSamples: true,
	tagSampleFormat: true, tagTables: true,
}

// tiffSizes are the bytes of the types of unsigned numbers (TIFF 6.0, page 15; BigTIFF): BYTE, SHORT, LONG, UNDEFINED, LONG8 and
// IFD8.
var tiffSizes = map[uint16]int{1: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8, 18: 8}

// tiffArray is the numbers of a tag, in the file.
type tiffArray struct {
	b     []byte
	order binary.ByteOrder
	size  int // bytes of a number
	n     int
}

func (a tiffArray) at(i int) uint64 {
	switch b := a.b[i*a.size:]; a.size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(a.order.Uint16(b))
	case 4:
		return uint64(a.order.Uint32(b))
	default:
		return a.order.Uint64(b)
	}
}

// constant reports whether all numbers are the same. More than a pixel can have samples are none.
func (a tiffArray) constant() bool {
	if a.n > 64 {
		return false
	}
	for i := 1; i < a.n; i++ {
		if a.at(i) != a.at(0) {
			return false
		}
	}
	return true
}

// tiffDirectory is the first directory of a TIFF.
type tiffDirectory struct {
	order binary.ByteOrder
	tags  map[uint16]tiffArray
}

// number returns the first number of a tag, or other without one. One that no tag may have is the largest int.
func (d *tiffDirectory) number(tag uint16, other int) int {
	a := d.tags[tag]
	if a.n == 0 {
		return other
	}
	return int(min(a.at(0), math.MaxInt32))
}

// tiffDirectoryOf reads the header and the first directory (TIFF 6.0, section 2). BigTIFF has wider numbers.
func tiffDirectoryOf(data []byte) (*tiffDirectory, error) {
	d := &tiffDirectory{order: binary.LittleEndian, tags: map[uint16]tiffArray{}}
	if has(data, 0, "MM") {
		d.order = binary.BigEndian
	}
	if len(data) < 16 {
		return nil, truncated(TIFF)
	}
	big := d.order.Uint16(data[2:]) == 43
	at, inline, countBytes := uint64(d.order.Uint32(data[4:])), 4, 2
	if big {
		at, inline, countBytes = d.order.Uint64(data[8:]), 8, 8
	}
	if at > uint64(len(data)) || len(data)-int(at) < countBytes {
		return nil, truncated(TIFF)
	}
	count, rest := uint64(d.order.Uint16(data[at:])), data[int(at)+countBytes:]
	if big {
		count = d.order.Uint64(data[at:])
	}
	entry := 4 + 2*inline
	if count > uint64(len(rest)/entry) {
		return nil, truncated(TIFF)
	}
	for i := range int(count) {
		if err := d.take(data, rest[i*entry:][:entry], inline); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// take reads an entry: tag, type, count, and the numbers or where they are. Other types than those of numbers are skipped.
func (d *tiffDirectory) take(data, entry []byte, inline int) error {
	tag, size := d.order.Uint16(entry), tiffSizes[d.order.Uint16(entry[2:])]
	if size == 0 || !tiffTags[tag] {
		return nil
	}
	word := func(b []byte) uint64 {
		if inline == 8 {
			return d.order.Uint64(b)
		}
		return uint64(d.order.Uint32(b))
	}
	n, value := word(entry[4:]), entry[4+inline:]
	if n > uint64(inline/size) {
		at := word(value)
		if at > uint64(len(data)) || n > (uint64(len(data))-at)/uint64(size) {
			return truncated(TIFF)
		}
		value = data[at:]
	}
	d.tags[tag] = tiffArray{b: value[:int(n)*size], order: d.order, size: size, n: int(n)}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
