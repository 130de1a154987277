package bmp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file is a BMP with a header of 40 bytes. Palettes have blue and green and red for their first colors.
func file(width, height, bits int, compression uint32, body []byte) []byte {
	le := binary.LittleEndian
	var palette []byte
	if bits <= 8 {
		palette = make([]byte, 4<<bits)
		copy(palette, "\xff\x00\x00\x00\x00\xff\x00\x00\x00\x00\xff\x00")
	}
	out := le.AppendUint32(append([]byte("BM"), make([]byte, 8)...), uint32(54+len(palette)))
	out = le.AppendUint32(le.AppendUint32(le.AppendUint32(out, 40), uint32(width)), uint32(height))
	out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, 1), uint16(bits)), compression)
	return bytes.Join([][]byte{out, make([]byte, 20), palette, body}, nil)
}

// show names the pixels by the letters of their colors, row by row from the top.
func show(pixels []byte, width int) string {
	var out strings.Builder
	for i := 0; i < len(pixels); i += 3 {
		if i > 0 && i/3%width == 0 {
			out.WriteByte(' ')
		}
		switch string(pixels[i : i+3]) {
		case "\xff\x00\x00":
			out.WriteByte('b')
		case "\x00\xff\x00":
			out.WriteByte('g')
		case "\x00\x00\xff":
			out.WriteByte('r')
		default:
			out.WriteByte('?')
		}
	}
	return out.String()
}

func TestRuns(t *testing.T) {
	const rle8, rle4 = 1, 2
	for what, c := range map[string]struct {
		coding int
		body   string
		want   string // or what the error says
	}{
		"nothing but the end":                   {rle8, "\x00\x01", "bbbb bbbb bbbb"},
		"runs that fill rows":                   {rle8, "\x04\x01\x04\x02\x04\x01", "gggg rrrr gggg"},
		"the ends of filled rows":               {rle8, "\x04\x01\x00\x00\x04\x02\x00\x00\x04\x01\x00\x01", "gggg rrrr gggg"},
		"an empty row":                          {rle8, "\x04\x01\x00\x00\x00\x00\x04\x01\x00\x01", "gggg bbbb gggg"},
		"rows that end early":                   {rle8, "\x01\x01\x00\x00\x02\x02\x00\x00\x03\x01\x00\x01", "gggb rrbb gbbb"},
		"literals":                              {rle8, "\x00\x03\x01\x02\x01\x00\x00\x00\x00\x04\x02\x02\x01\x01\x00\x01", "bbbb rrgg grgb"},
		"a step to the right and up":            {rle8, "\x01\x01\x00\x02\x01\x01\x01\x02\x00\x01", "bbbb bbrb gbbb"},
		"a step out of the image":               {rle8, "\x01\x01\x00\x02\xff\xff", "bbbb bbbb gbbb"},
		"4 bits, in turns":                      {rle4, "\x03\x12\x00\x00\x04\x21\x00\x00\x01\x12\x00\x01", "gbbb rgrg grgb"},
		"4 bits, literals":                      {rle4, "\x00\x03\x12\x10\x00\x00\x00\x04\x11\x22\x00\x01", "bbbb ggrr grgb"},
		"4 bits, a step up":                     {rle4, "\x01\x11\x00\x02\x01\x01\x01\x22\x00\x01", "bbbb bbrb gbbb"},
		"4 bits, nothing but the end":           {rle4, "\x00\x01", "bbbb bbbb bbbb"},
		"a run over the end of a row":           {rle8, "\x05\x01", "exceeds its row"},
		"literals over the end of a row":        {rle8, "\x02\x01\x00\x03\x01\x01\x01\x00", "exceeds its row"},
		"no end":                                {rle8, "\x04\x01\x00\x00", "end before the rows"},
		"half a run":                            {rle8, "\x04", "end before the rows"},
		"literals without the last one":         {rle8, "\x00\x03\x01\x02", "end before the rows"},
		"a step without how far":                {rle8, "\x00\x02\x01", "end before the rows"},
		"what follows a whole image counts not": {rle8, "\x04\x01\x04\x02\x04\x01\x09\x09\x09", "gggg rrrr gggg"},
	} {
		pixels := bytes.Repeat([]byte{0xA5}, 3*4*3)
		bits := 8 / c.coding
		err := Decode(t.Context(), file(4, 3, bits, uint32(c.coding), []byte(c.body)), pixels, 4, 3)
		if got := show(pixels, 4); err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}

// lasting is a context that ends after a number of checks.
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

// TestDecodeStopsOnCancel counts the pixels that are decoded once the context has ended.
func TestDecodeStopsOnCancel(t *testing.T) {
	const w, h = 1000, 2000
	for what, data := range map[string][]byte{
		"1 bit":         file(w, h, 1, 0, make([]byte, (w+31)/32*4*h)),
		"32 bits":       file(w, h, 32, 0, make([]byte, 4*w*h)),
		"runs":          file(w, h, 8, 1, bytes.Repeat([]byte("\xfa\x01"), w*h/250)),
		"empty rows":    file(w, h, 8, 1, bytes.Repeat([]byte("\x00\x00"), h)),
		"steps nowhere": file(w, h, 8, 1, bytes.Repeat([]byte("\x00\x02\x00\x00"), w*h)),
	} {
		pixels := bytes.Repeat([]byte{0xA5}, 3*w*h)
		const asked = 3
		err := Decode(&lasting{t.Context(), asked}, data, pixels, w, h)
		written := w*h - bytes.Count(pixels, []byte{0xA5, 0xA5, 0xA5})
		if maxWritten := (asked + 1) * (checkInterval + w); !errors.Is(err, context.Canceled) || written > maxWritten {
			t.Errorf("%s: %v, and %d pixels were written; at most %d should be", what, err, written, maxWritten)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	whole := file(4, 3, 24, 0, make([]byte, 36))
	for name, c := range map[string]struct {
		data      []byte
		w, h, len int
		why       string
	}{
		"nothing":                        {nil, 4, 3, 36, "truncated"},
		"another size than the header's": {whole, 3, 4, 36, "4×3 pixels to 3×4"},
		"memory too small":               {whole, 4, 3, 35, "in 35 bytes"},
		"a byte too few":                 {whole[:len(whole)-1], 4, 3, 36, "truncated"},
		"a palette that is cut":          {file(4, 3, 8, 1, nil)[:80], 4, 3, 36, "truncated"},
	} {
		err := Decode(t.Context(), c.data, make([]byte, c.len), c.w, c.h)
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}

// FuzzDecode checks that nothing depends on the previous contents of memory.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("../testdata/images/*.bmp")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, uint16(96), uint16(72))
	}
	f.Add(file(4, 3, 8, 1, []byte("\x00\x03\x01\x02\x01\x00\x00\x00\x00\x02\x01\x01\x01\x02\x00\x01")), uint16(4), uint16(3))
	f.Add(file(4, 3, 4, 2, []byte("\x00\x03\x12\x10\x00\x00\x00\x02\x01\x01\x01\x22\x00\x01")), uint16(4), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, width, height uint16) {
		w, h := int(width), int(height)
		if w*h > 1<<16 {
			return
		}
		one, other := make([]byte, 3*w*h), bytes.Repeat([]byte{0xA5}, 3*w*h)
		first, second := Decode(t.Context(), data, one, w, h), Decode(t.Context(), data, other, w, h)
		if (first == nil) != (second == nil) || first == nil && !bytes.Equal(one, other) {
			t.Fatalf("the result depends on the memory: %v, %v", first, second)
		}
	})
}

// TestOnlyThePaddingOfTheLastRowMayBeMissing: an image is whole when its pixels are there.
func TestOnlyThePaddingOfTheLastRowMayBeMissing(t *testing.T) {
	for _, bits := range []int{1, 4, 8, 16, 24, 32} {
		for width := 1; width <= 9; width++ {
			used := (width*bits + 7) / 8
			pitch := (used + 3) / 4 * 4
			whole := file(width, 2, bits, 0, bytes.Repeat([]byte{0x11}, 2*pitch))
			want, got := make([]byte, 3*2*width), make([]byte, 3*2*width)
			if err := Decode(t.Context(), whole, want, width, 2); err != nil {
				t.Fatalf("%d bits, %d pixels wide: %v", bits, width, err)
			}
			for missing := 1; missing <= pitch; missing++ {
				err := Decode(t.Context(), whole[:len(whole)-missing], got, width, 2)
				if isPadding := missing <= pitch-used; isPadding != (err == nil) || isPadding && !bytes.Equal(got, want) {
					t.Errorf("%d bits, %d pixels wide, %d bytes missing: %v", bits, width, missing, err)
				}
			}
		}
	}
}

// masked is a BMP of 32 bits with a header of size bytes and masks.
func masked(width, height, size int, masks []uint32, body []byte) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32(append([]byte("BM"), make([]byte, 8)...), uint32(14+max(size, 40+4*len(masks))))
	out = le.AppendUint32(le.AppendUint32(le.AppendUint32(out, uint32(size)), uint32(width)), uint32(height))
	out = le.AppendUint32(le.AppendUint16(le.AppendUint16(out, 1), 32), 3)
	out = append(out, make([]byte, 20)...)
	for _, mask := range masks {
		out = le.AppendUint32(out, mask)
	}
	return append(append(out, make([]byte, max(0, 14+size-len(out)))...), body...)
}

// TestAlpha has two pixels, one above the other, whose fourth bytes are 7 and 9.
func TestAlpha(t *testing.T) {
	body, colors := []byte{1, 2, 3, 7, 4, 5, 6, 9}, []uint32{0xFF0000, 0xFF00, 0xFF}
	alpha := append(colors, 0xFF000000)
	upsideDown := masked(1, 2, 108, alpha, body)
	binary.LittleEndian.PutUint32(upsideDown[22:], 1<<32-2)
	for what, c := range map[string]struct {
		data []byte
		want []byte // nil: there is none
	}{
		"a mask":                          {masked(1, 2, 56, alpha, body), []byte{9, 9, 9, 7, 7, 7}},
		"a mask of a longer header":       {masked(1, 2, 124, alpha, body), []byte{9, 9, 9, 7, 7, 7}},
		"rows from the top":               {upsideDown, []byte{7, 7, 7, 9, 9, 9}},
		"a mask that is 0":                {masked(1, 2, 56, append(colors, 0), body), nil},
		"a header without a mask":         {masked(1, 2, 52, colors, body), nil},
		"masks that follow a header":      {masked(1, 2, 40, colors, body), nil},
		"32 bits without masks":           {file(1, 2, 32, 0, body), nil},
		"24 bits":                         {file(1, 2, 24, 0, body), nil},
		"what looks like a mask after it": {masked(1, 2, 40, alpha, body), nil},
	} {
		pixels := bytes.Repeat([]byte{0xA5}, 6)
		opaque, err := DecodeAlpha(t.Context(), c.data, pixels, 1, 2)
		if err != nil || opaque != (c.want == nil) || c.want != nil && !bytes.Equal(pixels, c.want) {
			t.Errorf("%s: %v, %v, %v; want %v", what, pixels, opaque, err, c.want)
		}
	}
	if opaque, err := DecodeAlpha(t.Context(), body, make([]byte, 6), 1, 2); err == nil || opaque {
		t.Errorf("no BMP: %v, %v", opaque, err)
	}
	large := masked(1000, 2000, 56, alpha, make([]byte, 4*1000*2000))
	if _, err := DecodeAlpha(&lasting{t.Context(), 3}, large, make([]byte, 3*1000*2000), 1000, 2000); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of the context: %v", err)
	}
}
