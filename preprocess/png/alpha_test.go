package png

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"image/color"
	stdpng "image/png"
	"math/rand/v2"
	"slices"
	"testing"

	"fovea/internal/testenv"
)

// encode returns a PNG of random rows of the bytes given, with the chunks given before them.
func encode(t *testing.T, width, height, depth, colorType, interlaced int, values []byte, chunks ...[]byte) []byte {
	t.Helper()
	bits := depth * map[int]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colorType]
	passes := [][4]int{{0, 0, 1, 1}}
	if interlaced == 1 {
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	random := rand.New(rand.NewPCG(uint64(bits), uint64(colorType)))
	var rows []byte
	for _, p := range passes {
		columns := (width - p[0] + p[2] - 1) / p[2]
		for y := p[1]; y < height && columns > 0; y += p[3] {
			rows = append(rows, 0)
			for range (columns*bits + 7) / 8 {
				rows = append(rows, values[random.IntN(len(values))])
			}
		}
	}
	size := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
	head := [][]byte{[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", append(size, byte(depth), byte(colorType), 0, 0, byte(interlaced)))}
	tail := [][]byte{chunk("IDAT", testenv.Deflated(t, rows, zlib.BestSpeed)), chunk("IEND", nil)}
	return bytes.Join(slices.Concat(head, chunks, tail), nil)
}

// TestDecodeAlphaMatchesGo compares the alpha of every kind of PNG with that of Go's own decoder.
func TestDecodeAlphaMatchesGo(t *testing.T) {
	const w, h = 37, 19
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i * 37)
	}
	palette := func(depth int) []byte { return chunk("PLTE", bytes.Repeat([]byte{1, 2, 3}, 1<<depth)) }
	transparency := func(values ...byte) func(int) []byte {
		return func(int) []byte { return chunk("tRNS", values) }
	}
	for what, c := range map[string]struct {
		depths []int
		color  int
		values []byte
		chunks []func(depth int) []byte
	}{
		"gray and alpha":                            {[]int{8, 16}, 4, all, nil},
		"colors and alpha":                          {[]int{8, 16}, 6, all, nil},
		"a palette with alpha for all entries":      {[]int{1, 2, 4, 8}, 3, all, []func(int) []byte{palette, func(depth int) []byte { return chunk("tRNS", all[:1<<depth]) }}},
		"a palette with alpha for the first ones":   {[]int{2, 4, 8}, 3, all, []func(int) []byte{palette, transparency(9, 0)}},
		"gray with a transparent level":             {[]int{1, 2, 4, 8, 16}, 0, []byte{0, 1}, []func(int) []byte{transparency(0, 1)}},
		"gray of 16 bits with a level of high bits": {[]int{16}, 0, []byte{0, 1}, []func(int) []byte{transparency(1, 0)}},
		"colors with a transparent one":             {[]int{8, 16}, 2, []byte{0, 7}, []func(int) []byte{transparency(0, 7, 0, 0, 0, 7)}},
	} {
		for _, depth := range c.depths {
			for interlaced := range 2 {
				name := fmt.Sprintf("%s, %d bits, interlaced %d", what, depth, interlaced)
				var chunks [][]byte
				for _, make := range c.chunks {
					chunks = append(chunks, make(depth))
				}
				data := encode(t, w, h, depth, c.color, interlaced, c.values, chunks...)
				img, err := stdpng.Decode(bytes.NewReader(data))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				pixels := make([]byte, 3*w*h)
				if opaque, err := DecodeAlpha(t.Context(), data, pixels, w, h); opaque || err != nil {
					t.Fatalf("%s: opaque %v, %v", name, opaque, err)
				}
				transparent := false
				for i := range w * h {
					want := byte(color.NRGBA64Model.Convert(img.At(i%w, i/w)).(color.NRGBA64).A >> 8)
					transparent = transparent || want < 255
					if got := pixels[3*i : 3*i+3]; !bytes.Equal(got, []byte{want, want, want}) {
						t.Fatalf("%s: the alpha of pixel %d is %v, want %d", name, i, got, want)
					}
				}
				if !transparent {
					t.Errorf("%s: nothing is transparent", name)
				}
			}
		}
	}
}

func TestOpaque(t *testing.T) {
	const w, h = 5, 4
	palette := chunk("PLTE", bytes.Repeat([]byte{1, 2, 3}, 4))
	for what, data := range map[string][]byte{
		"colors":                             encode(t, w, h, 8, 2, 0, []byte{7}),
		"a palette":                          encode(t, w, h, 2, 3, 0, []byte{7}, palette),
		"alpha for more entries than it has": encode(t, w, h, 2, 3, 0, []byte{7}, palette, chunk("tRNS", make([]byte, 5))),
		"a transparent color for gray":       encode(t, w, h, 8, 0, 0, []byte{7}, chunk("tRNS", make([]byte, 6))),
	} {
		pixels := bytes.Repeat([]byte{9}, 3*w*h)
		opaque, err := DecodeAlpha(t.Context(), data, pixels, w, h)
		if !opaque || err != nil || !bytes.Equal(pixels, bytes.Repeat([]byte{9}, 3*w*h)) {
			t.Errorf("%s: opaque %v, %v, %v", what, opaque, err, pixels)
		}
	}
}
