package gif

import (
	"bytes"
	"compress/lzw"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"math/rand/v2"
	"strings"
	"testing"
)

// encoded is a GIF of gray indices by the standard library.
func encoded(t *testing.T, width, height int, pixels []byte) []byte {
	t.Helper()
	var palette color.Palette
	for i := range 256 {
		palette = append(palette, color.RGBA{uint8(i), uint8(255 - i), uint8(i / 2), 255})
	}
	var out bytes.Buffer
	if err := gif.Encode(&out, &image.Paletted{Pix: pixels, Stride: width, Rect: image.Rect(0, 0, width, height), Palette: palette}, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDecodeEqualsTheStandardLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		width, height, colors := 1+random.IntN(300), 1+random.IntN(100), 1+random.IntN(256)
		indices := make([]byte, width*height)
		for i := range indices {
			indices[i] = byte(random.IntN(colors))
			if i > 0 && random.IntN(3) > 0 {
				indices[i] = indices[i-1]
			}
		}
		data := encoded(t, width, height, indices)
		pixels := make([]byte, 3*width*height)
		if err := Decode(t.Context(), data, pixels, width, height); err != nil {
			t.Fatal(err)
		}
		for i, index := range indices {
			if want := [3]byte{index / 2, 255 - index, index}; [3]byte(pixels[3*i:]) != want {
				t.Fatalf("%d×%d, pixel %d: %v, want %v", width, height, i, pixels[3*i:3*i+3], want)
			}
		}
	}
}

// gifOf is a GIF of 4×4 pixels without a palette, with such data.
func gifOf(blocks ...byte) []byte {
	return append([]byte("GIF89a\x04\x00\x04\x00\x00\x00\x00,\x00\x00\x00\x00\x04\x00\x04\x00\x00\x02"), blocks...)
}

// codes is data blocks of n pixels of index 1.
func codes(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := lzw.NewWriter(&out, lzw.LSB, 2)
	if _, err := w.Write(bytes.Repeat([]byte{1}, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append([]byte{byte(out.Len())}, out.Bytes()...)
}

func TestWrongDataIsAnError(t *testing.T) {
	complete := codes(t, 16)
	for what, c := range map[string]struct {
		data    []byte
		message string
	}{
		"nothing":                      {gifOf(), "the file ends before its rows do"},
		"an empty block":               {gifOf(0), "the compressed data ends before the rows do"},
		"half a block":                 {gifOf(complete[:3]...), "the file ends before its rows do"},
		"a row too few":                {gifOf(append(codes(t, 12), 0)...), "the compressed data ends before the rows do"},
		"a code that is not there":     {gifOf(2, 0xFF, 0xFF, 0), "lzw: invalid code"},
		"complete":                     {gifOf(append(complete, 0)...), ""},
		"complete, without an end":     {gifOf(complete...), ""},
		"more than complete":           {gifOf(append(codes(t, 99), 0)...), ""},
		"complete in blocks of a byte": {gifOf(oneByOne(complete[1:])...), ""},
	} {
		pixels := make([]byte, 3*16)
		err := Decode(t.Context(), c.data, pixels, 4, 4)
		if (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && !bytes.Equal(pixels, bytes.Repeat([]byte{1}, 48)) {
			t.Errorf("%s: %v", what, pixels)
		}
	}
	if err := Decode(t.Context(), gifOf(complete...), make([]byte, 5), 4, 4); err == nil {
		t.Error("decoded into 5 bytes")
	}
}

func oneByOne(data []byte) (blocks []byte) {
	for _, b := range data {
		blocks = append(blocks, 1, b)
	}
	return append(blocks, 0)
}

func TestAlphaOfOpaqueImagesIsNotWritten(t *testing.T) {
	pixels := []byte{7, 7, 7}
	one := append([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02"), codes(t, 1)...)
	if opaque, err := DecodeAlpha(t.Context(), one, pixels, 1, 1); err != nil || !opaque || pixels[0] != 7 {
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

// TestDecodeStopsOnCancel counts the rows that are decoded once the context has ended, of a frame of one color, where a block holds
// most, and of a canvas that is only filled.
func TestDecodeStopsOnCancel(t *testing.T) {
	const side = 2000
	data := encoded(t, side, side, bytes.Repeat([]byte{9}, side*side))
	for asked := range 4 {
		pixels := bytes.Repeat([]byte{77}, 3*side*side)
		err := Decode(&lasting{t.Context(), asked + side/64}, data, pixels, side, side)
		written := bytes.Count(pixels, []byte{246})
		if most := (asked + 1) * 255 * 8 / 9 * 4096; !errors.Is(err, context.Canceled) || written > most {
			t.Errorf("asked %d times: %v, %d pixels", asked, err, written)
		}
	}
	canvas := bytes.Clone(data)
	binary.LittleEndian.PutUint16(canvas[6:], 9000)
	if err := Decode(&lasting{t.Context(), 3}, canvas, make([]byte, 3*9000*side), 9000, side); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
