package header

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"fovea/internal/apierror"
)

// pngHead is a PNG as far as the beginning of its image data.
func pngHead(width, height uint32, depth, color byte) []byte {
	chunk := func(kind string, body []byte) []byte {
		named := append([]byte(kind), body...)
		out := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), named...)
		return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(named))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	out := append([]byte(pngSignature), chunk("IHDR", append(header, depth, color, 0, 0, 0))...)
	if color == pngIndexed {
		out = append(out, chunk("PLTE", make([]byte, 6))...)
	}
	return append(out, chunk("IDAT", []byte{0x78, 0x9C, 3, 0})...)
}

func TestDeepPixelsCountForMore(t *testing.T) {
	const limit = 1_000_000
	for name, test := range map[string]struct {
		depth, color byte
		most         uint32 // pixels
	}{
		"gray": {8, 0, limit}, "palette": {4, 3, limit}, "color and alpha": {8, 6, limit}, "deep gray and alpha": {16, 4, limit},
		"deep color": {16, 2, limit * 2 / 3}, "deep color and alpha": {16, 6, limit / 2},
	} {
		if _, err := Read(pngHead(test.most/100, 100, test.depth, test.color), Limits{MaxPixels: limit}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := Read(pngHead(test.most/100+1, 100, test.depth, test.color), Limits{MaxPixels: limit})
		if code := apierror.From(err).Code; err == nil || code != apierror.ImageTooLarge {
			t.Errorf("%s, above the limit: %v", name, err)
		}
		if deep := test.most < limit; err != nil && strings.Contains(err.Error(), "bits") != deep {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// lossyHead is a lossy WebP whose data is of so many bytes.
func lossyHead(width, height, size int) []byte {
	frame := append([]byte{0x10, 0, 0, 0x9D, 0x01, 0x2A}, make([]byte, size-6)...)
	binary.LittleEndian.PutUint16(frame[6:], uint16(width))
	binary.LittleEndian.PutUint16(frame[8:], uint16(height))
	out := append([]byte("RIFF\x00\x00\x00\x00WEBPVP8 "), binary.LittleEndian.AppendUint32(nil, uint32(size))...)
	binary.LittleEndian.PutUint32(out[4:], uint32(size+12))
	return append(out, frame...)
}

func TestLossyDataIsLimitedOnlyForLargeWebP(t *testing.T) {
	for name, test := range map[string]struct {
		width, height, size int
		limit               int64
		refused             bool
	}{
		"the largest, with a photograph's data":       {7071, 7071, 8_200_000, 0, false},
		"the largest, with more than is allowed":      {7071, 7071, 8_300_000, 0, true},
		"42 megapixels, with all the data of a body":  {6480, 6480, 16_000_000, 0, false},
		"a low limit of pixels changes nothing":       {3000, 3000, 9_000_000, 9_000_000, false},
		"small, with far more data than pixels":       {64, 64, 16_000_000, 0, false},
		"a higher limit of pixels allows more":        {7071, 7071, 16_000_000, 100_000_000, false},
		"the largest of a higher limit, with as much": {9999, 9999, 32_000_000, 100_000_000, true},
	} {
		_, err := Read(lossyHead(test.width, test.height, test.size), Limits{MaxPixels: test.limit})
		var f *apierror.Error
		if (err != nil) != test.refused || test.refused && (!errors.As(err, &f) || f.Code != apierror.ImageTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
