package png

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fovea/internal/testenv"
)

func chunk(kind string, body []byte) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind...)
	out = append(out, body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[4:]))
}

// rgb is a PNG of 8 bits, with its compressed data in one chunk.
func rgb(width, height int, compressed []byte) []byte {
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
	return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(size, 8, 2, 0, 0, 0)),
		chunk("IDAT", compressed), chunk("IEND", nil)}, nil)
}

// TestDataAfterTheLastRowIsNotInflated appends valid or invalid compressed data to the rows.
func TestDataAfterTheLastRowIsNotInflated(t *testing.T) {
	const w, h = 64, 48
	rows := make([]byte, h*(1+3*w))
	more := testenv.Deflated(t, make([]byte, 16<<20), zlib.BestSpeed)
	alone := testenv.Deflated(t, rows, zlib.BestSpeed)
	for what, compressed := range map[string][]byte{
		"the rows alone":                   alone,
		"16 MiB too much":                  more,
		"more that is corrupt":             append(bytes.Clone(more[:len(more)/2]), bytes.Repeat([]byte{0xFF}, 1<<16)...),
		"the rows without their checksum":  alone[:len(alone)-4],
		"the rows with a wrong checksum":   append(bytes.Clone(alone[:len(alone)-4]), 1, 2, 3, 4),
		"something behind the data's end":  append(bytes.Clone(alone), 1, 2, 3, 4),
		"very many empty blocks behind":    append(bytes.Clone(more), bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, 1<<18)...),
		"the rows, and then not even that": alone[:len(alone)-5],
	} {
		done, err := decode(t.Context(), rgb(w, h, compressed), make([]byte, 3*w*h), w, h)
		if err != nil || done.inflated != len(rows) {
			t.Errorf("%s: %d bytes were inflated, %v; the rows have %d", what, done.inflated, err, len(rows))
		}
	}
}

func TestBlocksAreCounted(t *testing.T) {
	const w, h, allowed = 64, 48, 1 << 14
	rows := make([]byte, h*(1+3*w))
	blocks := func(n int) []byte {
		stored := func(data []byte) []byte {
			out := binary.LittleEndian.AppendUint16([]byte{0}, uint16(len(data)))
			return append(binary.LittleEndian.AppendUint16(out, ^uint16(len(data))), data...)
		}
		out := append([]byte{0x78, 0x01}, bytes.Repeat(stored(nil), n)...)
		return append(out, stored(rows)...)
	}
	pixels := make([]byte, 3*w*h)
	if done, err := decode(t.Context(), rgb(w, h, blocks(allowed)), pixels, w, h); err != nil {
		t.Errorf("%+v: %v", done, err)
	}
	done, err := decode(t.Context(), rgb(w, h, blocks(1<<20)), pixels, w, h)
	if err == nil || !strings.Contains(err.Error(), "too many blocks") || done.blocks > 2*allowed {
		t.Errorf("%+v: %v", done, err)
	}
}

func TestARowMayEndABlock(t *testing.T) {
	const w, h = 700, 10000
	var out bytes.Buffer
	flushed := zlib.NewWriter(&out)
	for range h {
		if _, err := flushed.Write(make([]byte, 1+3*w)); err != nil {
			t.Fatal(err)
		}
		if err := flushed.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := flushed.Close(); err != nil {
		t.Fatal(err)
	}
	if done, err := decode(t.Context(), rgb(w, h, out.Bytes()), make([]byte, 3*w*h), w, h); err != nil {
		t.Errorf("%+v: %v", done, err)
	}
}

// TestDecodeStopsOnCancel ends contexts at several moments of a decode, until one is in the middle of it.
func TestDecodeStopsOnCancel(t *testing.T) {
	const w, h = 3000, 3000
	total := h * (1 + 3*w)
	data, pixels := rgb(w, h, testenv.Deflated(t, make([]byte, total), zlib.BestSpeed)), make([]byte, 3*w*h)
	for after := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(after)*time.Millisecond)
		done, err := decode(ctx, data, pixels, w, h)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if err != nil && done.inflated > 0 && done.inflated < total {
			return
		}
	}
	t.Error("no decode ended in its middle")
}

func TestTruncatedFile(t *testing.T) {
	for _, name := range []string{"png_rgb.png", "png_interlaced.png", "png_palette.png", "png_gray_1bit.png", "png_animated.png", "png_exif6.png"} {
		data := testenv.FormatSample(t, name)
		w, h := int(binary.BigEndian.Uint32(data[16:])), int(binary.BigEndian.Uint32(data[20:]))
		whole := make([]byte, 3*w*h)
		if err := Decode(t.Context(), data, whole, w, h); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refused, taken := 0, 0
		for n := bytes.Index(data, []byte("IDAT")) + 4; n < len(data); n++ {
			pixels := make([]byte, 3*w*h)
			switch err := Decode(t.Context(), data[:n], pixels, w, h); {
			case err == nil && bytes.Equal(pixels, whole):
				taken++
			case err == nil:
				t.Fatalf("%s cut to %d of %d bytes: half an image was decoded", name, n, len(data))
			case errors.Is(err, ErrTruncated) && taken == 0:
				refused++
			default:
				t.Fatalf("%s cut to %d of %d bytes: %v", name, n, len(data), err)
			}
		}
		if taken < 12 || refused < 12 {
			t.Errorf("%s: %d cuts were refused and %d taken; the last chunk alone has 12 bytes", name, refused, taken)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	const w, h = 8, 6
	rows := make([]byte, h*(1+3*w))
	wrongFilter := bytes.Clone(rows)
	wrongFilter[2*(1+3*w)] = 5
	whole := rgb(w, h, testenv.Deflated(t, rows, zlib.BestSpeed))
	twoParts := bytes.Join([][]byte{whole[:33], chunk("IDAT", testenv.Deflated(t, rows, zlib.BestSpeed)[:4]), chunk("PLTE", make([]byte, 3)), chunk("IDAT", testenv.Deflated(t, rows, zlib.BestSpeed)[4:]), chunk("IEND", nil)}, nil)
	for name, c := range map[string]struct {
		data      []byte
		w, h, len int
		why       string
	}{
		"nothing":                        {nil, w, h, 3 * w * h, "truncated"},
		"another size than the header's": {whole, w + 1, h, 3 * (w + 1) * h, "8×6 pixels to 9×6"},
		"memory too small":               {whole, w, h, 3*w*h - 1, "in 143 bytes"},
		"a row too few":                  {rgb(w, h, testenv.Deflated(t, rows[:len(rows)-1], zlib.BestSpeed)), w, h, 3 * w * h, "ends before the rows"},
		"no compressed data":             {rgb(w, h, nil), w, h, 3 * w * h, "ends before the rows"},
		"data of another kind":           {rgb(w, h, []byte("no zlib at all")), w, h, 3 * w * h, "not valid"},
		"a filter that does not exist":   {rgb(w, h, testenv.Deflated(t, wrongFilter, zlib.BestSpeed)), w, h, 3 * w * h, "filter"},
		"a critical chunk within":        {twoParts, w, h, 3 * w * h, "ends before the rows"},
	} {
		err := Decode(t.Context(), c.data, make([]byte, c.len), c.w, c.h)
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
	if err := Decode(t.Context(), whole, make([]byte, 3*w*h), w, h); err != nil {
		t.Error(err)
	}
}

// FuzzDecode gives any bytes for compressed data, and also bytes that are compressed, to every kind of PNG. Whatever is
// decoded has no more work than its rows, and does not depend on what the memory held before; nor does its alpha.
func FuzzDecode(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for kind := range byte(64) {
		body := make([]byte, 400)
		for i := range body {
			body[i] = byte(random.Uint32() % 6)
		}
		f.Add(kind, byte(7), byte(5), true, body)
	}
	f.Fuzz(func(t *testing.T, kind, width, height byte, compress bool, body []byte) {
		kinds := [][2]byte{{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1}, {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}}
		c := kinds[int(kind&15)%len(kinds)]
		w, h := 1+int(width), 1+int(height)
		if len(body) > 1<<16 {
			return
		}
		if compress {
			body = testenv.Deflated(t, body, zlib.BestSpeed)
		}
		size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
		head := chunk("IHDR", append(size, c[1], c[0], 0, 0, kind>>4&1))
		transparent := chunk("tRNS", []byte{0, 1, 0, 1, 0, 1, 0, 1}[:map[byte]int{2: 6, 3: 3}[c[0]]+2*int(kind>>5&1)])
		file := bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), head, chunk("PLTE", []byte("abcdefghi")), transparent,
			chunk("IDAT", body[:len(body)/2]), chunk("tEXt", nil), chunk("IDAT", body[len(body)/2:]), chunk("IEND", nil)}, nil)
		one, other := make([]byte, 3*w*h), bytes.Repeat([]byte{0xA5}, 3*w*h)
		done, err := decode(t.Context(), file, one, w, h)
		_, again := decode(t.Context(), file, other, w, h)
		if (err == nil) != (again == nil) || err == nil && !bytes.Equal(one, other) {
			t.Fatalf("the result depends on the memory: %v, %v", err, again)
		}
		opaque, alphaErr := DecodeAlpha(t.Context(), file, one, w, h)
		_, again = DecodeAlpha(t.Context(), file, other, w, h)
		if !opaque && ((alphaErr == nil) != (err == nil) || (alphaErr == nil) != (again == nil) || alphaErr == nil && !bytes.Equal(one, other)) {
			t.Fatalf("the alpha depends on the memory, or fails otherwise than the colors: %v, %v, %v", err, alphaErr, again)
		}
		if most := 2 * (h + 2*8) * (1 + 8*w); done.inflated > most {
			t.Fatalf("%d bytes were inflated for %d×%d", done.inflated, w, h)
		}
	})
}
