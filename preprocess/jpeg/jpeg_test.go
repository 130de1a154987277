package jpeg

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var endMarker = []byte{0xFF, 0xD9}

func picture(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "pictures", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWhatIsNoWholePictureSaysWhy(t *testing.T) {
	const w, h = 96, 72
	whole := picture(t, "jpeg_420.jpg")
	half := func(name string) []byte {
		data := picture(t, name)
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
		"cut short":                        {whole[:len(whole)/2], w, h, 3 * w * h, "Premature end"},
		"cut short, and an end marker":     {half("jpeg_420.jpg"), w, h, 3 * w * h, "premature end of data"},
		"grey, cut short, an end marker":   {half("jpeg_gray.jpg"), w, h, 3 * w * h, "premature end of data"},
		"four channels, cut short, an end": {half("jpeg_cmyk.jpg"), w, h, 3 * w * h, "premature end of data"},
		"progressive, cut short, an end":   {half("jpeg_progressive.jpg"), w, h, 3 * w * h, "premature end of data"},
	}
	for name, tt := range tests {
		err := Decode(t.Context(), tt.data, 1, make([]byte, tt.pixels), tt.w, tt.h, 0, tt.w)
		if err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: %v, want %q", name, err, tt.why)
		}
	}
}

func TestOnlyColumnsOfThePictureCanBeWanted(t *testing.T) {
	const w, h = 96, 72
	for name, columns := range map[string][2]int{
		"none": {10, 10}, "before the first": {-1, 10}, "behind the last": {90, w + 1}, "the wrong way round": {20, 10},
	} {
		if err := Decode(t.Context(), picture(t, "jpeg_420.jpg"), 1, make([]byte, 3*w*h), w, h, columns[0], columns[1]); err == nil {
			t.Errorf("%s: columns %d to %d are taken", name, columns[0], columns[1])
		}
	}
}
