package webp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func chunk(kind string, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body))), body...)
}

// bitWriter writes bits, the lowest first.
type bitWriter struct {
	bytes []byte
	n     int
}

func (b *bitWriter) put(value, n int) {
	for i := range n {
		if b.n&7 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(value>>i&1) << (b.n & 7)
		b.n++
	}
}

// codes writes five prefix codes of one symbol each: green, red, blue, alpha and distance. They take no bits.
func (b *bitWriter) codes(symbols ...int) {
	for _, s := range symbols {
		b.put(0b101, 3) // simple, one symbol, of eight bits
		b.put(s, 8)
	}
}

// head writes the header of a lossless image.
func (b *bitWriter) head(width, height int) {
	b.put(0x2F, 8)
	b.put(width-1, 14)
	b.put(height-1, 14)
	b.put(0, 4) // no alpha, version 0
}

// canvas is a lossless image of a few bytes, all of one color but for what the predictor makes of it.
func canvas(width, height int) []byte {
	var b bitWriter
	b.head(width, height)
	b.put(0b001, 3) // the predictor
	b.put(0, 3)     // for blocks of 4×4
	b.put(0, 1)
	b.codes(11, 0, 0, 255, 0)
	b.put(0, 3) // no other transform, no cache, one group
	b.codes(3, 2, 1, 255, 0)
	return chunk("VP8L", b.bytes)
}

// zeros is a lossy image whose coded bits are all 0: every block is predicted by its neighbors and has no coefficients.
func zeros(width, height int) []byte {
	blocks := (width + 15) / 16 * ((height + 15) / 16)
	modes, tokens := 1000+4*blocks, 1000+8*blocks
	head := modes<<5 | 1<<4 // a key frame that is shown
	out := []byte{byte(head), byte(head >> 8), byte(head >> 16), 0x9D, 0x01, 0x2A}
	out = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(out, uint16(width)), uint16(height))
	return chunk("VP8 ", append(out, make([]byte, modes+tokens)...))
}

// copies is a lossless image that begins with a copy of pixels before its first one.
func copies(width, height int) []byte {
	var b bitWriter
	b.head(width, height)
	b.put(0, 3)  // no transform, no cache, one group
	b.put(0, 1)  // code lengths that are coded,
	b.put(11, 4) // of which 15 of the format's order are given:
	for i := range 15 {
		b.put(map[int]int{1: 1, 3: 1}[i], 3) // 18, which is zeros, and 1 have a bit each
	}
	b.put(0, 1)
	for _, zeros := range []int{138, 118} {
		b.put(1, 1)
		b.put(zeros-11, 7)
	}
	b.put(0, 1) // 1, for symbol 256: a copy of one pixel
	b.put(1, 1)
	b.put(23-11, 7)
	b.codes(0, 0, 255, 0)
	return chunk("VP8L", append(b.bytes, make([]byte, 99)...))
}

func TestLosslessCanvas(t *testing.T) {
	const w, h = 5, 3
	pixels := make([]byte, 3*w*h)
	if _, err := decode(t.Context(), canvas(w, h), pixels, w, h); err != nil {
		t.Fatal(err)
	}
	for y := range h {
		for x := range w {
			// Each pixel is 1, 3, 2 more than one of its neighbors, which all are as far from the corner, or the sum of
			// all: in the first row and column there is one neighbor alone.
			want := 1 + max(x, y)
			if x > 0 && y > 0 {
				want = 1 + int(max(pixels[3*((y-1)*w+x)], pixels[3*(y*w+x-1)]))
			}
			if got := int(pixels[3*(y*w+x)]); got != want {
				t.Errorf("blue at (%d,%d) is %d, want %d", x, y, got, want)
			}
		}
	}
}

// TestDecodeStopsOnCancel ends contexts at several moments of a decode, until one is in the middle of it.
func TestDecodeStopsOnCancel(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		w, h int
	}{
		"lossless":                        {canvas(6000, 6000), 6000, 6000},
		"lossy":                           {zeros(4096, 2048), 4096, 2048},
		"lossy, narrow and fed in slices": {zeros(496, 16000), 496, 16000},
	} {
		pixels, stopped := make([]byte, 3*c.w*c.h), false
		for after := 1; after < 40 && !stopped; after++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(after)*time.Millisecond)
			rows, err := decode(ctx, c.data, pixels, c.w, c.h)
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v", name, err)
			}
			stopped = err != nil && rows > 0 && rows < c.h
		}
		if !stopped {
			t.Errorf("%s: no decode ended in its middle", name)
		}
		if rows, err := decode(t.Context(), c.data, pixels, c.w, c.h); err != nil || rows != c.h {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	const w, h = 40, 30
	lossless, lossy := canvas(w, h), zeros(w, h)
	cut := func(data []byte, n int) []byte { return chunk(string(data[:4]), data[8:8+n]) }
	for name, c := range map[string]struct {
		data      []byte
		w, h, len int
		why       string
	}{
		"nothing":                        {nil, w, h, 3 * w * h, "0 bytes of WebP"},
		"memory too small":               {lossless, w, h, 3*w*h - 1, "bytes for 40×30"},
		"another chunk":                  {chunk("ALPH", nil), w, h, 3 * w * h, "has no image data"},
		"less than its size says":        {lossless[:len(lossless)-1], w, h, 3 * w * h, "ends before the rows"},
		"lossless of another size":       {lossless, w + 1, h, 3 * (w + 1) * h, "another size"},
		"lossy of another size":          {lossy, w + 1, h, 3 * (w + 1) * h, "another size"},
		"lossless, cut within its codes": {cut(lossless, 12), w, h, 3 * w * h, "ends before the rows"},
		"lossy, cut within its modes":    {cut(lossy, 200), w, h, 3 * w * h, "not valid"},
		"a copy of what is not there":    {copies(w, h), w, h, 3 * w * h, "not valid"},
		"lossless, empty":                {cut(lossless, 0), w, h, 3 * w * h, "not valid"},
		"lossy, empty":                   {cut(lossy, 0), w, h, 3 * w * h, "not valid"},
	} {
		err := Decode(t.Context(), c.data, make([]byte, c.len), c.w, c.h)
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}

// TestPrefixCodeMemoryLimit gives 65536 groups of codes with 256 symbols each, whose tables would take 200 MiB.
func TestPrefixCodeMemoryLimit(t *testing.T) {
	const w, h = 4 * 256, 4 * 256
	var b bitWriter
	full := func(symbols int) { // each of the first 256 symbols has eight bits
		b.put(0, 1)
		b.put(8, 4)                                                        // of 12 symbols of code lengths, in the format's order
		for _, length := range []int{0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2} { // 18, 16 and 8
			b.put(length, 3)
		}
		b.put(0, 1)
		b.put(0b01, 2) // 8
		for range 42 { // 42 × 6 times the same
			b.put(0, 1)
			b.put(3, 2)
		}
		b.put(0, 1)
		b.put(0, 2) // and 3 times
		if symbols > 256 {
			b.put(0b11, 2) // 11 + 13 zeros
			b.put(13, 7)
		}
	}
	group := func() {
		full(280)
		full(256)
		full(256)
		b.codes(255, 0)
	}
	b.head(w, h)
	b.put(0, 2) // no transform, no cache
	b.put(1, 1) // groups, for blocks of 4×4
	b.put(0, 3)
	b.put(0, 1)
	full(280)
	full(256)
	b.codes(0, 255, 0)
	for i := range 1 << 16 { // red and green are the number of the group; the codes' bits are turned round
		for _, v := range []int{i & 255, i >> 8} {
			for bit := 7; bit >= 0; bit-- {
				b.put(v>>bit&1, 1)
			}
		}
	}
	for range 1 << 16 {
		group()
	}
	err := Decode(t.Context(), chunk("VP8L", b.bytes), make([]byte, 3*w*h), w, h)
	if err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Error(err)
	}
}

// FuzzDecode checks that nothing depends on the previous contents of memory.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("../testdata/images/*.webp")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, kind := range []string{"VP8 ", "VP8L"} {
			if at := bytes.Index(data, []byte(kind)); at > 0 {
				f.Add(data[at:])
			}
		}
	}
	f.Add(canvas(20, 30))
	f.Add(zeros(20, 30))
	f.Fuzz(func(t *testing.T, data []byte) {
		w, h := size(data)
		if w < 1 || h < 1 || w*h > 1<<16 {
			return
		}
		one, other := make([]byte, 3*w*h), bytes.Repeat([]byte{0xA5}, 3*w*h)
		first, second := Decode(t.Context(), data, one, w, h), Decode(t.Context(), data, other, w, h)
		if (first == nil) != (second == nil) || first == nil && !bytes.Equal(one, other) {
			t.Fatalf("the result depends on the memory: %v, %v", first, second)
		}
	})
}

// size is what a chunk of either kind says, or 0.
func size(data []byte) (w, h int) {
	switch {
	case len(data) >= 18 && string(data[:4]) == "VP8 ":
		return int(binary.LittleEndian.Uint16(data[14:]) & 0x3FFF), int(binary.LittleEndian.Uint16(data[16:]) & 0x3FFF)
	case len(data) >= 13 && string(data[:4]) == "VP8L":
		bits := binary.LittleEndian.Uint32(data[9:])
		return 1 + int(bits&0x3FFF), 1 + int(bits>>14&0x3FFF)
	}
	return 0, 0
}
