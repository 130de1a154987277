package header

import (
	"encoding/binary"
	"math"
	"slices"

	"fovea/internal/apierror"
)

// TIFFCompression is how a TIFF's segments are compressed (tag 259).
type TIFFCompression int

// The supported compressions (TIFF 6.0, sections 3, 9 and 13; Adobe's technical notes of 1995 and 2002).
const (
	TIFFPlain    TIFFCompression = 1
	TIFFLZW      TIFFCompression = 5
	TIFFJPEG     TIFFCompression = 7
	TIFFDeflate  TIFFCompression = 8
	TIFFPackBits TIFFCompression = 32773

	tiffOldDeflate = 32946 // the same as TIFFDeflate
)

// TIFFColor is what a TIFF's samples mean (tag 262).
type TIFFColor int

// The supported photometric interpretations (TIFF 6.0, page 117).
const (
	TIFFWhiteIsZero TIFFColor = 0
	TIFFBlackIsZero TIFFColor = 1
	TIFFRGB         TIFFColor = 2
	TIFFIndexed     TIFFColor = 3
	TIFFCMYK        TIFFColor = 5
	TIFFYCbCr       TIFFColor = 6 // only compressed as JPEG
)

// channels returns the number of samples that a color takes; more are alpha or nothing.
func (c TIFFColor) channels() int {
	switch c {
	case TIFFRGB, TIFFYCbCr:
		return 3
	case TIFFCMYK:
		return 4
	}
	return 1
}

// TIFFAlpha is what the sample after the colors means (tag 338).
type TIFFAlpha int

// The kinds of alpha.
const (
	TIFFOpaque       TIFFAlpha = 0
	TIFFAssociated   TIFFAlpha = 1 // the colors are multiplied by it
	TIFFUnassociated TIFFAlpha = 2
)

// TIFFFile is the first page of a TIFF, of a supported kind. Its pixels are stored in segments, strips of whole rows or tiles, in
// rows from the top left; with separate planes first all segments of the first sample.
type TIFFFile struct {
	Width, Height int
	Bits          int // of a sample: 1, 2, 4, 8 or 16
	Samples       int // of a pixel, at least as many as the color has; one in each segment if Separate
	BigEndian     bool
	Separate      bool
	Color         TIFFColor
	Alpha         TIFFAlpha
	Palette       [256][3]byte // red, green and blue of TIFFIndexed
	Compression   TIFFCompression
	Differences   bool   // samples are stored as their differences to those of the pixel before
	Tables        []byte // JPEG tables that all segments share; nil without any

	SegmentWidth, SegmentHeight int // pixels; the last strip has fewer rows, tiles are padded
	Across, Down                int // segments of a plane

	orientation     int
	data            []byte
	offsets, counts tiffArray
}

// Segment returns the data of a segment: of a plane, in rows from the top left.
func (t *TIFFFile) Segment(i int) []byte {
	at := t.offsets.at(i)
	return t.data[at:][:t.segmentBytes(i)]
}

// RowBytes returns the size of a segment's row, uncompressed. Rows begin at whole bytes.
func (t *TIFFFile) RowBytes() int {
	samples := t.Samples
	if t.Separate {
		samples = 1
	}
	return (t.SegmentWidth*samples*t.Bits + 7) / 8
}

// AlphaSample returns the index of a pixel's alpha, the sample after its colors.
func (t *TIFFFile) AlphaSample() int { return t.Color.channels() }

// Segments returns the number of all segments.
func (t *TIFFFile) Segments() int { return t.Across * t.Down * t.planes() }

func (t *TIFFFile) planes() int {
	if t.Separate {
		return t.Samples
	}
	return 1
}

// segmentBytes returns the size of a segment's data. That of plain segments follows from their rows, since programs err in what
// they write.
func (t *TIFFFile) segmentBytes(i int) uint64 {
	if t.Compression != TIFFPlain {
		return t.counts.at(i)
	}
	return uint64(t.RowBytes()) * uint64(t.rows(i))
}

// rows returns the number of rows that are stored in a plain segment, without those that may be missing below the image.
func (t *TIFFFile) rows(i int) int {
	top := i % (t.Across * t.Down) / t.Across * t.SegmentHeight
	return min(t.SegmentHeight, t.Height-top)
}

const (
	// maxTIFFSegments bounds the cost of segments that is not that of their pixels. A page of 50 megapixels in the usual strips of
	// 8 KiB has 18,000, or 24,000 with 16 bits per channel.
	maxTIFFSegments = 1 << 15
	// maxTIFFSamples bounds the samples of a pixel.
	maxTIFFSamples = 8
	// maxTIFFTables bounds the tables that are read for each segment. All that baseline JPEG may have take 2 KB.
	maxTIFFTables = 4096
)

func readTIFF(data []byte) (Info, error) {
	tiff, err := ParseTIFF(data)
	if err != nil && tiff.Width == 0 {
		return Info{}, err
	}
	info := Info{Format: TIFF, Width: tiff.Width, Height: tiff.Height, Orientation: tiff.orientation, BitDepth: tiff.Bits, Channels: tiff.Samples}
	if tiff.Color == TIFFIndexed {
		info.Channels = 3
	}
	info.padded = float64(tiff.SegmentWidth) * float64(tiff.SegmentHeight) * float64(tiff.Across) * float64(tiff.Down)
	return info, err
}

// ParseTIFF reads the first page of a TIFF (TIFF 6.0; BigTIFF) and checks that its segments are there and do not overlap. Errors
// are *apierror.Error; the result holds the size if that was reached.
func ParseTIFF(data []byte) (TIFFFile, error) {
	directory, err := tiffDirectoryOf(data)
	if err != nil {
		return TIFFFile{}, err
	}
	t := TIFFFile{data: data, BigEndian: directory.order == binary.ByteOrder(binary.BigEndian)}
	t.Width, t.Height = directory.number(tagWidth, 0), directory.number(tagHeight, 0)
	if t.Width < 1 || t.Height < 1 {
		return TIFFFile{}, corrupt(TIFF, "its size is %d×%d pixels", t.Width, t.Height)
	}
	if err := t.pixels(directory); err != nil {
		return TIFFFile{}, err
	}
	if err := t.layout(directory); err != nil {
		return t, err
	}
	return t, t.checkSegments()
}

// pixels reads what the samples mean.
func (t *TIFFFile) pixels(d *tiffDirectory) error {
	t.Color, t.Compression = TIFFColor(d.number(tagColor, 0)), TIFFCompression(d.number(tagCompression, int(TIFFPlain)))
	if t.Compression == tiffOldDeflate {
		t.Compression = TIFFDeflate
	}
	t.Samples, t.Bits, t.orientation = d.number(tagSamples, 1), d.number(tagBits, 1), d.number(tagOrientation, 1)
	if t.orientation < 1 || t.orientation > 8 {
		t.orientation = 1
	}
	t.Separate = d.number(tagPlanar, 1) == 2 && t.Samples > 1
	compressed := t.Compression == TIFFLZW || t.Compression == TIFFDeflate
	predictor := d.number(tagPredictor, 1)
	t.Differences = compressed && predictor == 2
	if err := t.checkKind(d, compressed && predictor > 2); err != nil {
		return err
	}
	extra := d.tags[tagExtraSamples]
	switch base := t.Color.channels(); {
	case t.Samples == base || t.Color == TIFFCMYK:
	case extra.n > 0 && (extra.at(0) == uint64(TIFFAssociated)):
		t.Alpha = TIFFAssociated
	case extra.n > 0 && extra.at(0) != 0, extra.n == 0 && t.Color == TIFFRGB && t.Samples == 4:
		t.Alpha = TIFFUnassociated // as Pillow takes a fourth sample that nothing explains
	}
	if t.Color == TIFFIndexed {
		return t.palette(d.tags[tagPalette])
	}
	return nil
}

// tiffCompressions are the names of known compressions that are not supported.
var tiffCompressions = map[TIFFCompression]string{
	2: "CCITT fax", 3: "CCITT fax", 4: "CCITT fax", 6: "old-style JPEG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA",
	50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}

// tiffColors are the names of known photometric interpretations that are not supported.
var tiffColors = map[TIFFColor]string{4: "a transparency mask", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32803: "a sensor's color filter array", 34892: "linear raw"}

// tiffDepths are the supported bits per sample by color.
var tiffDepths = map[TIFFColor][]int{
	TIFFWhiteIsZero: {1, 2, 4, 8, 16}, TIFFBlackIsZero: {1, 2, 4, 8, 16}, TIFFIndexed: {1, 2, 4, 8},
	TIFFRGB: {8, 16}, TIFFCMYK: {8, 16}, TIFFYCbCr: {8},
}

// checkKind refuses what is not supported.
func (t *TIFFFile) checkKind(d *tiffDirectory, floats bool) error {
	refuse := func(what, allowed string) error {
		return apierror.New(apierror.UnsupportedFormat, "TIFF %s is not supported; allowed: %s", what, allowed)
	}
	name, isOther := tiffColors[t.Color]
	depths, isColor := tiffDepths[t.Color]
	format := d.tags[tagSampleFormat]
	switch {
	case tiffCompressions[t.Compression] != "":
		return refuse("compressed with "+tiffCompressions[t.Compression], "no compression, LZW, deflate, PackBits and JPEG")
	case !slices.Contains([]TIFFCompression{TIFFPlain, TIFFLZW, TIFFJPEG, TIFFDeflate, TIFFPackBits}, t.Compression):
		return refuse("with compression "+itoa(int(t.Compression)), "no compression, LZW, deflate, PackBits and JPEG")
	case isOther || !isColor:
		if name == "" {
			name = "photometric interpretation " + itoa(int(t.Color))
		}
		return refuse("of "+name, "gray, RGB, palettes, CMYK, and YCbCr compressed as JPEG")
	case format.n > 0 && format.at(0) != 1 && format.at(0) != 4, floats:
		return refuse("of signed or floating-point samples", "unsigned integers of 1, 2, 4, 8 and 16 bits")
	case !d.tags[tagBits].constant() || !slices.Contains(depths, t.Bits) || t.Samples > 1 && t.Bits < 8:
		return refuse("of "+itoa(t.Bits)+" bits per sample in this color", "gray and palettes of 1, 2, 4 and 8 bits, gray and colors of 8 and 16 bits, all samples alike")
	case t.Samples < t.Color.channels() || t.Samples > maxTIFFSamples:
		return corrupt(TIFF, "its pixels have %d samples", t.Samples)
	case t.Color == TIFFYCbCr && (t.Compression != TIFFJPEG || t.Separate || t.Samples != 3):
		return refuse("of YCbCr that is not compressed as JPEG with its samples together", "gray, RGB, palettes, CMYK, and YCbCr compressed as JPEG")
	case t.Compression == TIFFJPEG && t.Bits != 8:
		return refuse("with JPEG of "+itoa(t.Bits)+" bits", "8 bits")
	case t.Differences && t.Bits < 8:
		return refuse("with differences of "+itoa(t.Bits)+" bits", "differences of 8 and 16 bits")
	case d.number(tagFillOrder, 1) != 1:
		return refuse("with the bits of each byte reversed (FillOrder 2)", "FillOrder 1")
	}
	return nil
}

// palette reads the colors of indices (TIFF 6.0, tag 320): all reds, all greens, all blues, of 16 bits.
func (t *TIFFFile) palette(colors tiffArray) error {
	n := 1 << t.Bits
	if colors.n < 3*n {
		return corrupt(TIFF, "its palette has %d numbers, not %d", colors.n, 3*n)
	}
	for i := range n {
		for c := range 3 {
			t.Palette[i][c] = byte(colors.at(c*n+i) >> 8)
		}
	}
	return nil
}

// layout reads where the segments are.
func (t *TIFFFile) layout(d *tiffDirectory) error {
	t.SegmentWidth, t.SegmentHeight = t.Width, min(t.Height, d.number(tagRowsPerStrip, math.MaxInt32))
	t.offsets, t.counts = d.tags[tagStripOffsets], d.tags[tagStripCounts]
	if _, tiled := d.tags[tagTileOffsets]; tiled {
		t.SegmentWidth, t.SegmentHeight = d.number(tagTileWidth, 0), d.number(tagTileHeight, 0)
		t.offsets, t.counts = d.tags[tagTileOffsets], d.tags[tagTileCounts]
		if t.counts.n == 0 {
			t.counts = d.tags[tagStripCounts] // as libtiff does
		}
	}
	if t.SegmentWidth < 1 || t.SegmentHeight < 1 || t.SegmentWidth > maxSide || t.SegmentHeight > maxSide {
		return corrupt(TIFF, "its strips or tiles have %d×%d pixels", t.SegmentWidth, t.SegmentHeight)
	}
	t.Across, t.Down = (t.Width-1)/t.SegmentWidth+1, (t.Height-1)/t.SegmentHeight+1
	if float64(t.Across)*float64(t.Down)*float64(t.planes()) > maxTIFFSegments {
		return apierror.New(apierror.ImageTooLarge, "TIFF has %d×%d strips or tiles; the limit is %d in all: save it with larger ones", t.Across, t.Down, maxTIFFSegments)
	}
	if tables := d.tags[tagTables]; t.Compression == TIFFJPEG && tables.n > 0 {
		if tables.size != 1 || tables.n > maxTIFFTables {
			return corrupt(TIFF, "its JPEG tables have %d numbers; the limit is %d bytes", tables.n, maxTIFFTables)
		}
		t.Tables = tables.b
	}
	return nil
}

// checkSegments wants the segments to be within the file. Those that are compressed may not share bytes, so that the file's size
// bounds the work of decompressing them.
func (t *TIFFFile) checkSegments() error {
	n := t.Segments()
	if t.offsets.n < n || t.Compression != TIFFPlain && t.counts.n < n {
		return corrupt(TIFF, "it has %d strips or tiles, and positions of %d and sizes of %d", n, t.offsets.n, t.counts.n)
	}
	size, sum := uint64(len(t.data)), uint64(0)
	for i := range n {
		at, bytes := t.offsets.at(i), t.segmentBytes(i)
		if at > size || bytes > size-at {
			return truncated(TIFF)
		}
		sum += bytes
	}
	if t.Compression != TIFFPlain && sum > size {
		return corrupt(TIFF, "its strips or tiles overlap")
	}
	return nil
}

// maxPadding is how many times the limit of pixels the tiles of a TIFF may have, which are all decoded.
const maxPadding = 1.25

// checkTiles rejects an image whose tiles hold many more pixels than it.
func (l Limits) checkTiles(info Info) error {
	if limit := maxPadding * float64(max(l.pixels(), minPixels)); info.padded > limit {
		return apierror.New(apierror.ImageTooLarge, "%s of %d×%d pixels has tiles of %s megapixels; the limit is %s", info.Format, info.Width, info.Height,
			megapixels(int64(info.padded)), megapixels(int64(limit)))
	}
	return nil
}
