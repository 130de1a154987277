package header

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

func TestTIFFHeaders(t *testing.T) {
	for name, want := range map[string]TIFFFile{
		"tiff_raw_rgb.tif":              {Bits: 8, Samples: 3, Color: TIFFRGB, Compression: TIFFPlain, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_lzw_bilevel.tif":          {Bits: 1, Samples: 1, Color: TIFFBlackIsZero, Compression: TIFFLZW, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_raw_rgba.tif":             {Bits: 8, Samples: 4, Color: TIFFRGB, Alpha: TIFFUnassociated, Compression: TIFFPlain, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_unspecified.tif":          {Bits: 8, Samples: 4, Color: TIFFRGB, Compression: TIFFPlain, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_associated.tif":           {Bits: 8, Samples: 4, Color: TIFFRGB, Alpha: TIFFAssociated, Compression: TIFFPlain, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_old_deflate.tif":          {Bits: 8, Samples: 3, Color: TIFFRGB, Compression: TIFFDeflate, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_planes_lzw.tif":           {Bits: 8, Samples: 3, Separate: true, Color: TIFFRGB, Compression: TIFFLZW, SegmentWidth: 16, SegmentHeight: 16, Across: 3, Down: 3},
		"tiff_rgb16_big.tif":            {Bits: 16, Samples: 3, BigEndian: true, Color: TIFFRGB, Compression: TIFFLZW, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_tiles_differences.tif":    {Bits: 8, Samples: 3, Differences: true, Color: TIFFRGB, Compression: TIFFLZW, SegmentWidth: 16, SegmentHeight: 32, Across: 3, Down: 2},
		"tiff_strips_adobe_deflate.tif": {Bits: 8, Samples: 3, Color: TIFFRGB, Compression: TIFFDeflate, SegmentWidth: 45, SegmentHeight: 16, Across: 1, Down: 3},
		"tiff_bigtiff.tif":              {Bits: 8, Samples: 3, Differences: true, Color: TIFFRGB, Compression: TIFFLZW, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
		"tiff_rgba16_associated.tif":    {Bits: 16, Samples: 4, BigEndian: true, Color: TIFFRGB, Alpha: TIFFAssociated, Compression: TIFFPlain, SegmentWidth: 45, SegmentHeight: 34, Across: 1, Down: 1},
	} {
		got, err := ParseTIFF(sample(t, name))
		want.Width, want.Height = 45, 34
		if err != nil || describe(got) != describe(want) {
			t.Errorf("%s: %v, %v; want %v", name, describe(got), err, describe(want))
		}
	}
	info, err := Read(sample(t, "tiff_orientation6.tif"), Limits{})
	info.padded = 0
	if want := (Info{Format: TIFF, Width: 34, Height: 45, Orientation: 6, BitDepth: 8, Channels: 3}); err != nil || info != want {
		t.Errorf("%+v, %v", info, err)
	}
}

// shape is what a TIFFFile says, without its data.
type shape struct {
	width, height, bits, samples, segmentWidth, segmentHeight, across, down int
	bigEndian, separate, differences                                        bool
	color                                                                   TIFFColor
	alpha                                                                   TIFFAlpha
	compression                                                             TIFFCompression
}

func describe(t TIFFFile) shape {
	return shape{t.Width, t.Height, t.Bits, t.Samples, t.SegmentWidth, t.SegmentHeight, t.Across, t.Down, t.BigEndian, t.Separate, t.Differences, t.Color, t.Alpha, t.Compression}
}

// tagged is a little-endian TIFF with another value of a tag, or with another tag in its place.
func tagged(t *testing.T, data []byte, tag uint16, value uint32, instead ...uint16) []byte {
	t.Helper()
	data = bytes.Clone(data)
	order := binary.LittleEndian
	at := int(order.Uint32(data[4:]))
	for i := range int(order.Uint16(data[at:])) {
		entry := data[at+2+12*i:]
		if order.Uint16(entry) == tag {
			order.PutUint16(entry[2:], 4)
			order.PutUint32(entry[4:], 1)
			order.PutUint32(entry[8:], value)
			for _, other := range instead {
				order.PutUint16(entry, other)
			}
			return data
		}
	}
	t.Fatalf("no tag %d", tag)
	return nil
}

func TestTIFFErrors(t *testing.T) {
	rgb, lzw, tiles, palette := sample(t, "tiff_strips_raw.tif"), sample(t, "tiff_strips_lzw.tif"), sample(t, "tiff_tiles_lzw.tif"), sample(t, "tiff_palette4.tif")
	jpeg := sample(t, "tiff_jpeg_rgb.tif")
	gray := sample(t, "tiff_gray4.tif")
	for what, c := range map[string]struct {
		data    []byte
		code    apierror.Code
		message string
	}{
		"its signature only":            {rgb[:8], apierror.Undecodable, "TIFF is truncated"},
		"without its directory":         {changed(rgb, 4, 0xFF, 0xFF, 0xFF), apierror.Undecodable, "TIFF is truncated"},
		"without width":                 {tagged(t, rgb, tagWidth, 0), apierror.Undecodable, "its size is 0×34 pixels"},
		"4 gigapixels":                  {tagged(t, rgb, tagWidth, 1<<27), apierror.ImageTooLarge, "image has 4563.402752 megapixels"},
		"an exabyte":                    {tagged(t, rgb, tagWidth, 1<<32-1), apierror.ImageTooLarge, "the limit is 50 megapixels"},
		"fax":                           {tagged(t, rgb, tagCompression, 4), apierror.UnsupportedFormat, "TIFF compressed with CCITT fax is not supported; allowed: no compression, LZW, deflate, PackBits and JPEG"},
		"old-style JPEG":                {tagged(t, rgb, tagCompression, 6), apierror.UnsupportedFormat, "old-style JPEG"},
		"Zstandard":                     {tagged(t, rgb, tagCompression, 50000), apierror.UnsupportedFormat, "Zstandard"},
		"an unknown compression":        {tagged(t, rgb, tagCompression, 777), apierror.UnsupportedFormat, "with compression 777"},
		"CIE L*a*b*":                    {tagged(t, rgb, tagColor, 8), apierror.UnsupportedFormat, "TIFF of CIE L*a*b* is not supported; allowed: gray, RGB"},
		"raw of a sensor":               {tagged(t, rgb, tagColor, 32803), apierror.UnsupportedFormat, "color filter array"},
		"an unknown color":              {tagged(t, rgb, tagColor, 99), apierror.UnsupportedFormat, "photometric interpretation 99"},
		"plain YCbCr":                   {tagged(t, rgb, tagColor, 6), apierror.UnsupportedFormat, "YCbCr that is not compressed as JPEG"},
		"CMYK of three samples":         {tagged(t, rgb, tagColor, 5), apierror.Undecodable, "its pixels have 3 samples"},
		"32 bits":                       {tagged(t, rgb, tagBits, 32), apierror.UnsupportedFormat, "TIFF of 32 bits per sample"},
		"12 bits":                       {tagged(t, gray, tagBits, 12), apierror.UnsupportedFormat, "TIFF of 12 bits per sample"},
		"color of 4 bits":               {tagged(t, rgb, tagBits, 4), apierror.UnsupportedFormat, "TIFF of 4 bits per sample"},
		"palettes of 16 bits":           {tagged(t, palette, tagBits, 16), apierror.UnsupportedFormat, "TIFF of 16 bits per sample"},
		"floats":                        {tagged(t, rgb, tagRowsPerStrip, 3, tagSampleFormat), apierror.UnsupportedFormat, "signed or floating-point"},
		"differences of floats":         {tagged(t, sample(t, "tiff_tiles_differences.tif"), tagPredictor, 3), apierror.UnsupportedFormat, "floating-point"},
		"reversed bits":                 {tagged(t, rgb, tagRowsPerStrip, 2, tagFillOrder), apierror.UnsupportedFormat, "FillOrder 2"},
		"a million samples":             {tagged(t, rgb, tagSamples, 1<<20), apierror.Undecodable, "its pixels have 1048576 samples"},
		"no samples":                    {tagged(t, rgb, tagSamples, 0), apierror.Undecodable, "its pixels have 0 samples"},
		"strips without rows":           {tagged(t, rgb, tagRowsPerStrip, 0), apierror.Undecodable, "its strips or tiles have 45×0 pixels"},
		"more strips than positions":    {tagged(t, rgb, tagRowsPerStrip, 1), apierror.Undecodable, "it has 34 strips or tiles, and positions of 3"},
		"tiles without width":           {tagged(t, tiles, tagTileWidth, 0), apierror.Undecodable, "its strips or tiles have 0×"},
		"tiles without sizes":           {tagged(t, tiles, tagTileCounts, 0, 999), apierror.Undecodable, "sizes of 0"},
		"strips that overlap":           {tagged(t, sample(t, "tiff_lzw_rgb.tif"), tagStripCounts, 5000), apierror.Undecodable, "TIFF is truncated"},
		"tiles much larger":             {tagged(t, tagged(t, tiles, tagTileWidth, 1<<19), tagTileHeight, 1<<19), apierror.ImageTooLarge, "TIFF of 45×34 pixels has tiles of"},
		"65,537 strips":                 {tagged(t, tagged(t, rgb, tagHeight, 65537), tagRowsPerStrip, 1), apierror.ImageTooLarge, "TIFF has 1×65537 strips or tiles; the limit is 65536"},
		"a palette of 3 numbers":        {tagged(t, palette, tagPalette, 3), apierror.Undecodable, "its palette has 1 numbers, not 48"},
		"JPEG tables that are a number": {tagged(t, jpeg, tagTables, 7), apierror.Undecodable, "its JPEG tables"},
		"truncated":                     {lzw[:len(lzw)-1], apierror.Undecodable, "TIFF is truncated"},
	} {
		info, err := Read(c.data, Limits{})
		var f *apierror.Error
		if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Message, c.message) || info != (Info{}) {
			t.Errorf("%s: %v; want %s: …%s…", what, err, c.code, c.message)
		}
	}
}

// TestCompressedStripsMayNotShareData moves all strips to the first: work is bounded by the file's size only without it.
func TestCompressedStripsMayNotShareData(t *testing.T) {
	for name, refused := range map[string]bool{"tiff_strips_lzw.tif": true, "tiff_strips_packbits.tif": true, "tiff_strips_raw.tif": false} {
		data := bytes.Clone(sample(t, name))
		order := binary.LittleEndian
		at := int(order.Uint32(data[4:]))
		for i := range int(order.Uint16(data[at:])) {
			entry := data[at+2+12*i:]
			if tag := order.Uint16(entry); tag == tagStripOffsets || tag == tagStripCounts && refused {
				list := data[order.Uint32(entry[8:]):]
				size := tiffSizes[order.Uint16(entry[2:])]
				for n := range 3 {
					if tag == tagStripOffsets {
						copy(list[n*size:], list[:size])
					} else if size == 2 {
						order.PutUint16(list[2*n:], uint16(len(data)/3+1))
					} else {
						order.PutUint32(list[4*n:], uint32(len(data)/3+1))
					}
				}
			}
		}
		_, err := Read(data, Limits{})
		if (err != nil) != refused || refused && !strings.Contains(err.Error(), "its strips or tiles overlap") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
