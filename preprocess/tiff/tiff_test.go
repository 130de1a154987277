package tiff

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// file is a TIFF of RGB in one strip.
func file(width, height, compression int, strip []byte) []byte {
	order := binary.LittleEndian
	out := append(order.AppendUint32([]byte("II*\x00"), uint32(8+len(strip))), strip...)
	entries := [][2]uint32{{256, uint32(width)}, {257, uint32(height)}, {258, 8}, {259, uint32(compression)}, {262, 2}, {273, 8}, {277, 3}, {279, uint32(len(strip))}}
	out = order.AppendUint16(out, uint16(len(entries)))
	for _, e := range entries {
		out = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(out, uint16(e[0])), 4), 1), e[1])
	}
	return append(out, 0, 0, 0, 0)
}

// joined is bytes with one part behind the other.
func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestPackBits(t *testing.T) {
	const packBits = 32773
	run := []byte{0x100 - 11, 5} // twelve fives
	for what, c := range map[string]struct {
		strip   []byte
		message string
	}{
		"a run":                             {run, ""},
		"a run over both rows and more":     {[]byte{0x81, 5}, ""},
		"literals over both rows":           {joined([]byte{11}, bytes.Repeat([]byte{5}, 12)), ""},
		"codes of nothing before and after": {joined([]byte{0x80, 0x80}, run, []byte{0x80}), ""},
		"literals and runs":                 {[]byte{1, 5, 5, 0x100 - 3, 5, 0, 5, 0x80, 0x100 - 6, 5}, ""},
		"a run of half":                     {[]byte{0x100 - 5, 5}, "ends before its rows"},
		"literals that are not there":       {[]byte{11, 5, 5}, "ends before its rows"},
		"a run without a value":             {[]byte{0x100 - 11}, "ends before its rows"},
		"only codes of nothing":             {bytes.Repeat([]byte{0x80}, 99), "ends before its rows"},
		"nothing":                           {nil, "ends before its rows"},
	} {
		pixels := make([]byte, 12)
		err := Decode(t.Context(), file(2, 2, packBits, c.strip), pixels, 2, 2)
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && !bytes.Equal(pixels, bytes.Repeat([]byte{5}, 12)) {
			t.Errorf("%s: %v", what, pixels)
		}
	}
}

func TestWrongDataIsAnError(t *testing.T) {
	const lzw, jpeg, deflate = 5, 7, 8
	rows := bytes.Repeat([]byte{5}, 12)
	short := testenv.Deflated(t, rows[:11], zlib.BestSpeed)
	progressive := testenv.FormatSample(t, "jpeg_progressive.jpg")
	baseline := testenv.FormatSample(t, "jpeg_444.jpg")
	gray := testenv.FormatSample(t, "jpeg_gray.jpg")
	for what, c := range map[string]struct {
		data          []byte
		width, height int
		message       string
	}{
		"deflate":                      {file(2, 2, deflate, testenv.Deflated(t, rows, zlib.BestSpeed)), 2, 2, ""},
		"deflate of more":              {file(2, 2, deflate, testenv.Deflated(t, bytes.Repeat(rows, 1000), zlib.BestSpeed)), 2, 2, ""},
		"deflate of a byte less":       {file(2, 2, deflate, short), 2, 2, "ends before its rows"},
		"deflate, cut":                 {file(2, 2, deflate, short[:len(short)-7]), 2, 2, "ends before its rows"},
		"deflate, corrupt":             {file(2, 2, deflate, []byte("hello")), 2, 2, "not valid"},
		"deflate of empty blocks":      {file(2, 2, deflate, joined([]byte{0x78, 0x9C}, bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, 20_000), short[2:])), 2, 2, "too many blocks"},
		"deflate of some empty blocks": {file(2, 2, deflate, joined([]byte{0x78, 0x9C}, bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, 16_000), testenv.Deflated(t, rows, 1)[2:])), 2, 2, ""},
		"LZW, a code not there":        {file(2, 2, lzw, []byte{0x80, 0x7F, 0xFF, 0xFF}), 2, 2, "invalid code"},
		"LZW, nothing":                 {file(2, 2, lzw, nil), 2, 2, "ends before its rows"},
		"JPEG":                         {file(96, 72, jpeg, baseline), 96, 72, ""},
		"JPEG of more rows":            {file(96, 64, jpeg, baseline), 96, 64, "another size"},
		"JPEG of fewer rows":           {file(96, 99, jpeg, baseline), 96, 99, "another size"},
		"JPEG of fewer columns":        {file(99, 72, jpeg, baseline), 99, 72, "another size"},
		"JPEG of gray":                 {file(96, 72, jpeg, gray), 96, 72, "number of samples"},
		"JPEG of several scans":        {file(96, 72, jpeg, progressive), 96, 72, "several scans"},
		"JPEG, half":                   {file(96, 72, jpeg, baseline[:len(baseline)*2/3]), 96, 72, "ends before its rows"},
		"JPEG, nothing":                {file(96, 72, jpeg, nil), 96, 72, "JPEG data is not valid"},
		"no JPEG":                      {file(96, 72, jpeg, []byte("hello")), 96, 72, "JPEG data is not valid"},
		"another size":                 {file(2, 2, 1, rows), 3, 2, "cannot decode a TIFF of 2×2 pixels"},
	} {
		err := Decode(t.Context(), c.data, make([]byte, 3*c.width*c.height), c.width, c.height)
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v, want %q", what, err, c.message)
		}
	}
}

func TestAlphaOfOpaqueImagesIsNotWritten(t *testing.T) {
	pixels := make([]byte, 12)
	opaque, err := DecodeAlpha(t.Context(), file(2, 2, 1, bytes.Repeat([]byte{5}, 12)), pixels, 2, 2)
	if err != nil || !opaque || !bytes.Equal(pixels, make([]byte, 12)) {
		t.Errorf("%v, %v, %v", opaque, err, pixels)
	}
}

// lasting is a context that ends when it has been asked so often.
type lasting struct {
	context.Context
	left int
}

func (l *lasting) Err() error {
	if l.left--; l.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestDecodeStopsOnCancel counts the rows that are decoded once the context has ended.
func TestDecodeStopsOnCancel(t *testing.T) {
	const width, height = 1000, 500
	data := file(width, height, 1, bytes.Repeat([]byte{5}, 3*width*height))
	for asked := range 5 {
		pixels := make([]byte, 3*width*height)
		err := Decode(&lasting{t.Context(), asked}, data, pixels, width, height)
		if rows := bytes.Count(pixels, []byte{5}) / (3 * width); !errors.Is(err, context.Canceled) || rows > asked {
			t.Errorf("asked %d times: %v, %d rows", asked, err, rows)
		}
	}
	clears := bytes.Repeat([]byte{0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01, 0x00}, 1<<10)
	if err := Decode(&lasting{t.Context(), 3}, file(width, height, 5, clears), make([]byte, 3*width*height), width, height); !errors.Is(err, context.Canceled) {
		t.Errorf("LZW that yields nothing: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := newInflater(ended, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.start(nil, 1, 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.next(3); !errors.Is(err, context.Canceled) {
		t.Errorf("deflate: %v", err)
	}
}
