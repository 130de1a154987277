package jpeg

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"unsafe"

	"fovea/internal/testenv"
)

var endMarker = []byte{0xFF, 0xD9}

func TestDecodeErrors(t *testing.T) {
	const w, h = 96, 72
	whole := testenv.FormatSample(t, "jpeg_420.jpg")
	half := func(name string) []byte {
		data := testenv.FormatSample(t, name)
		return append(bytes.Clone(data[:len(data)*3/4]), endMarker...)
	}
	tests := map[string]struct {
		data   []byte
		w, h   int
		pixels int
		why    string
	}{
		"nothing":                          {nil, w, h, 3 * w * h, "0 bytes of JPEG"},
		"another size than the header's":   {whole, w + 1, h, 3 * (w + 1) * h, "96×72 pixels and not 97×72"},
		"memory too small":                 {whole, w, h, 3*w*h - 1, "bytes for 96×72"},
		"no JPEG":                          {[]byte("GIF89a, or so they say"), w, h, 3 * w * h, "Not a JPEG file"},
		"truncated":                        {whole[:len(whole)/2], w, h, 3 * w * h, "ends before its last row"},
		"truncated, and an end marker":     {half("jpeg_420.jpg"), w, h, 3 * w * h, "ends before its last row"},
		"gray, truncated, an end marker":   {half("jpeg_gray.jpg"), w, h, 3 * w * h, "ends before its last row"},
		"four channels, truncated, an end": {half("jpeg_cmyk.jpg"), w, h, 3 * w * h, "ends before its last row"},
		"progressive, truncated, an end":   {half("jpeg_progressive.jpg"), w, h, 3 * w * h, "ends before its last row"},
	}
	for name, tt := range tests {
		err := Decode(t.Context(), tt.data, 1, make([]byte, tt.pixels), tt.w, tt.h, 0, tt.w)
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", name, err, tt.why)
		}
	}
}

func TestColumnsOutsideTheImage(t *testing.T) {
	const w, h = 96, 72
	for name, columns := range map[string][2]int{
		"none": {10, 10}, "before the first": {-1, 10}, "behind the last": {90, w + 1}, "the wrong way round": {20, 10},
	} {
		if err := Decode(t.Context(), testenv.FormatSample(t, "jpeg_420.jpg"), 1, make([]byte, 3*w*h), w, h, columns[0], columns[1]); err == nil {
			t.Errorf("%s: columns %d to %d are taken", name, columns[0], columns[1])
		}
	}
}

// TestStopFlagIsCheckedOften counts the checks: one for each row of blocks of each scan and for each
// segment, and none after one that says stop.
func TestStopFlagIsCheckedOften(t *testing.T) {
	segments := append(bytes.Clone(testenv.FormatSample(t, "jpeg_420.jpg")[:2]), bytes.Repeat([]byte{0xFF, 0xFE, 0, 3, 'x'}, 1000)...)
	tests := map[string]struct {
		data  []byte
		least int
	}{
		"baseline: 5 rows of blocks of 16 rows":            {testenv.FormatSample(t, "jpeg_420.jpg"), 5},
		"progressive: as many in each of 10 scans":         {testenv.FormatSample(t, "jpeg_progressive.jpg"), 50},
		"four channels, read row by row":                   {testenv.FormatSample(t, "jpeg_cmyk.jpg"), 72},
		"a thousand comments before the frame header":      {append(segments, testenv.FormatSample(t, "jpeg_420.jpg")[2:]...), 1000},
		"a thousand comments before the first scan header": {beforeScan(t, bytes.Repeat([]byte{0xFF, 0xFE, 0, 3, 'x'}, 1000)), 1000},
		"a thousand tables in one segment":                 {beforeScan(t, tables(1000)), 1000},
	}
	for name, tt := range tests {
		const w, h = 96, 72
		running, stopped := int32(0), int32(1)
		checks, err := decode(tt.data, 1, make([]byte, 3*w*h), w, h, 0, w, unsafe.Pointer(&running))
		if err != nil || checks < tt.least {
			t.Errorf("%s: it looked %d times, want at least %d; %v", name, checks, tt.least, err)
		}
		checks, err = decode(tt.data, 1, make([]byte, 3*w*h), w, h, 0, w, unsafe.Pointer(&stopped))
		if err == nil || checks != 1 {
			t.Errorf("%s: stopped after %d checks; %v", name, checks, err)
		}
	}
}

// beforeScan puts segments before the scan header of a JPEG.
func beforeScan(t *testing.T, segments []byte) []byte {
	whole := testenv.FormatSample(t, "jpeg_420.jpg")
	at := bytes.Index(whole, []byte{0xFF, 0xDA})
	return append(append(bytes.Clone(whole[:at]), segments...), whole[at:]...)
}

// tables is a segment of n empty, unused Huffman tables.
func tables(n int) []byte {
	body := bytes.Repeat(append([]byte{3}, make([]byte, 16)...), n)
	return append([]byte{0xFF, 0xC4, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
}

func TestDecodeStopsOnCancel(t *testing.T) {
	const w, h = 96, 72
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Decode(ctx, testenv.FormatSample(t, "jpeg_progressive.jpg"), 1, make([]byte, 3*w*h), w, h, 0, w)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v after the end of its context", err)
	}
}
