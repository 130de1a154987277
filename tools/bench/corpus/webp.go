package corpus

import (
	"bytes"
	"encoding/binary"
)

// riff returns a WebP of chunks (RFC 9649, 2.4).
func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffChunk(kind string, body []byte) []byte {
	out := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body))), body...)
	return append(out, make([]byte, len(body)&1)...)
}

// webpSides returns sides that WebP allows: at most 16,383 pixels.
func (s Size) webpSides() (width, height int) {
	w, h := s.sides()
	return min(w, 16383), min(h, 16383)
}

// withoutData returns a VP8 key frame without coefficients, as zeros decode to. filter is the level of the loop filter, 0 to 63.
func withoutData(width, height int, simple bool, filter byte, coefficients []byte) []byte {
	// Only the first ten bits of the header differ from zero, each as probable as not, so that they are the first ten
	// bits of the data: color space, clamping, segments; the filter's kind, level and sharpness.
	first := make([]byte, 64+width*height/256*5/4)
	bits := uint16(filter) << 6
	if simple {
		bits |= 1 << 12
	}
	binary.BigEndian.PutUint16(first, bits)
	return vp8Chunk(width, height, first, coefficients)
}

// The most lossy data that a server with the default limits accepts (package header, checkLossy): bytes at the limit of
// pixels, and the part of it up to which any number of bytes is accepted.
const (
	maxLossyBytes  = 8_200_000 // at 50 megapixels
	maxLossyPixels = 84        // percent
)

// percent returns a size with fewer pixels.
func (s Size) percent(pixels int) Size { return Size{s.Pixels / 100 * pixels, s.Bytes} }

// lossless writes a VP8L image (RFC 9649, 3).
type lossless struct{ lsbWriter }

func newLossless(width, height int) *lossless {
	l := &lossless{}
	l.write(0x2F, 8)
	l.write(uint32(width-1), 14)
	l.write(uint32(height-1), 14)
	l.write(0, 4) // no alpha, version 0
	return l
}

// code writes a prefix code of one symbol, which takes no bits, or of two, which take one each.
func (l *lossless) code(symbols ...uint32) {
	l.write(1, 1)
	l.write(uint32(len(symbols)-1), 1)
	l.write(1, 1)
	for _, s := range symbols {
		l.write(s, 8)
	}
}

// short writes the shortest code: only symbol 0.
func (l *lossless) short() { l.write(1, 4) }

// plain starts an image of one color without a color cache.
func (l *lossless) plain(green uint32) {
	l.write(0, 1)
	l.code(green)
	for range 4 {
		l.code(0)
	}
}

// transforms adds all four: prediction with a mode, of colors, of green, and 256 indexed colors if wanted.
func (l *lossless) transforms(mode uint32, indexed bool) {
	l.write(1, 1)
	l.write(0, 2) // prediction
	l.write(7, 3) // in blocks of 512 pixels
	l.plain(mode)
	l.write(1, 1)
	l.write(1, 2) // colors
	l.write(7, 3)
	l.plain(5)
	l.write(1, 1)
	l.write(2, 2) // green
	if indexed {
		l.write(1, 1)
		l.write(3, 2)
		l.write(255, 8)
		l.plain(1)
	}
}

// pixels ends the header and writes an image of two greens, a bit each, or of one.
func (l *lossless) pixels(data []byte) []byte {
	l.content(data)
	return l.chunk()
}

func (l *lossless) content(data []byte) {
	l.write(0, 1) // no more transforms
	l.write(0, 1) // no color cache
	l.write(0, 1) // one group of codes
	if data == nil {
		l.code(7)
	} else {
		l.code(0, 9)
	}
	for range 4 {
		l.code(0)
	}
	for _, b := range data {
		l.write(uint32(b), 8)
	}
}

// withAlpha adds an alpha channel to a lossy image (RFC 9649, 2.7.1.2): an image without a header, filtered by the gradient.
func withAlpha(width, height int, lossy []byte, fill func(*lossless)) []byte {
	l := &lossless{}
	fill(l)
	l.align()
	const compressed, gradient = 1, 3
	head := []byte{0x10, 0, 0, 0} // there is alpha
	for _, side := range []int{width - 1, height - 1} {
		head = append(head, byte(side), byte(side>>8), byte(side>>16))
	}
	return riff(riffChunk("VP8X", head), riffChunk("ALPH", append([]byte{compressed | gradient<<2}, l.Bytes()...)), lossy)
}

func (l *lossless) chunk() []byte {
	l.align()
	return riffChunk("VP8L", l.Bytes())
}

// groups returns an image with 65,536 groups of codes, which blocks of pixels choose at random.
func groups(width, height int) []byte {
	l := newLossless(width, height)
	l.write(0, 1) // no transforms
	l.write(0, 1) // no color cache
	l.write(1, 1) // groups
	l.write(0, 3) // for blocks of 4×4 pixels
	l.write(0, 1)
	l.code(0, 255) // green and red are the group's number
	l.code(0, 255)
	for range 3 {
		l.code(0)
	}
	blocks := ceilDiv(width, 4) * ceilDiv(height, 4)
	for _, b := range noise(blocks / 4) {
		l.write(uint32(b), 8)
	}
	for range 65536 * 5 {
		l.short()
	}
	return l.chunk()
}

func webps() []Image {
	noData := func(simple bool, filter byte) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.webpSides()
			return riff(withoutData(w, h, simple, filter, make([]byte, w*h/256*3)))
		}
	}
	lossy := func(percent, maxBytes, filter int, tree tokenTree) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.percent(percent).webpSides()
			return riff(vp8(w, h, min(maxBytes, s.Bytes), filter, tree))
		}
	}
	vp8l := func(f func(l *lossless, w, h int) []byte) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.webpSides()
			return riff(f(newLossless(w, h), w, h))
		}
	}
	modes := func(mode uint32, indexed bool) func(l *lossless, w, h int) []byte {
		return func(l *lossless, _, _ int) []byte {
			l.transforms(mode, indexed)
			return l.pixels(nil)
		}
	}
	small := riff(newLossless(64, 64).pixels(nil))[12:]
	extended := riffChunk("VP8X", []byte{0x08, 0, 0, 0, 63, 0, 0, 63, 0, 0})
	animated := riffChunk("VP8X", []byte{0x02, 0, 0, 0, 63, 0, 0, 63, 0, 0})
	frame := riffChunk("ANMF", append([]byte{0, 0, 0, 0, 0, 0, 63, 0, 0, 63, 0, 0, 1, 0, 0, 0}, small...))
	repeated := func(head []byte, chunk []byte) func(Size) []byte {
		return func(s Size) []byte { return riff(head, small, filled(chunk, s.Bytes-1024)) }
	}
	return []Image{
		{Name: "lossy", Honest: true, Make: lossy(maxLossyPixels, 16<<20, 20, photographic)},
		{Name: "lossless, two greens, predicted", Honest: true, Make: vp8l(func(l *lossless, w, h int) []byte {
			l.transforms(11, false)
			return l.pixels(noise(w*h/8 + 1))
		})},
		{Name: "lossy, cheap coefficients", Make: lossy(100, maxLossyBytes, 63, cheap)},
		{Name: "lossy, cheap coefficients, fewer pixels", Make: lossy(maxLossyPixels, 16<<20, 63, cheap)},
		{Name: "lossy, empty, no filter", Make: noData(false, 0)},
		{Name: "lossy, empty, filtered most", Make: noData(false, 63)},
		{Name: "lossy, empty, simple filter", Make: noData(true, 63)},
		{Name: "lossless, one color", Make: vp8l(func(l *lossless, _, _ int) []byte { return l.pixels(nil) })},
		{Name: "lossless, all transforms, mode 11", Make: vp8l(modes(11, false))},
		{Name: "lossless, all transforms, mode 13", Make: vp8l(modes(13, false))},
		{Name: "lossless, all transforms, indexed", Make: vp8l(modes(12, true))},
		{Name: "lossless, 65,536 groups of codes", Make: func(s Size) []byte { w, h := s.webpSides(); return riff(groups(w, h)) }},
		{Name: "lossless, one row", Make: func(s Size) []byte {
			w, h := s.strip(16384)
			return riff(newLossless(w, h).pixels(noise(w*h/8 + 1)))
		}},
		{Name: "unknown chunks", Make: repeated(extended, riffChunk("ABCD", nil))},
		{Name: "EXIF chunks", Make: repeated(extended, riffChunk("EXIF", nil))},
		{Name: "frames of an animation", Make: func(s Size) []byte { return riff(animated, filled(frame, s.Bytes-1024)) }},
		{Name: "lossy, cut in half", Make: func(s Size) []byte {
			w, h := s.webpSides()
			return riff(withoutData(w, h, false, 63, noise(s.Bytes/20)))
		}},
	}
}

// alphaWebPs are lossy images with an alpha channel, which only some models read.
func alphaWebPs() []Image {
	alpha := func(filter int, tree tokenTree, fill func(*lossless, int)) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.percent(maxLossyPixels).webpSides()
			return withAlpha(w, h, vp8(w, h, min(16<<20, s.Bytes-w*h/8-4096), filter, tree), func(l *lossless) { fill(l, w*h) })
		}
	}
	return []Image{
		{Name: "lossy with alpha", Honest: true, Make: alpha(20, photographic, func(l *lossless, pixels int) {
			l.transforms(11, false)
			l.content(noise(pixels/8 + 1))
		})},
		{Name: "lossy, cheap coefficients, alpha of one value", Make: alpha(63, cheap, func(l *lossless, _ int) {
			l.transforms(13, false)
			l.content(nil)
		})},
		{Name: "lossy, cheap coefficients, indexed alpha", Make: alpha(63, cheap, func(l *lossless, pixels int) {
			l.transforms(13, true)
			l.content(noise(pixels/8 + 1))
		})},
	}
}
