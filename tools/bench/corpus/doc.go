// Package corpus generates hostile images, such as a few bytes that cause much work, and ordinary ones to compare them
// with. The images are generated from scratch and reproducible; tiles of AVIF and HEIC photographs are
// embedded.
package corpus

import (
	"bytes"
	"math"
	"math/rand/v2"
)

// Size bounds the images.
type Size struct {
	Pixels int // width × height
	Bytes  int // of the file
}

// deep returns the size of the largest allowed images with so many bits per pixel: above 32 bits, a pixel counts more.
func (s Size) deep(bits int) Size { return Size{s.Pixels * 32 / max(32, bits), s.Bytes} }

// Image is one of the corpus.
type Image struct {
	Format string
	Name   string
	Honest bool // written like an ordinary program would
	Large  bool // an ordinary image whose file exceeds the size limit
	Make   func(Size) []byte
}

// Images returns all images of the corpus, by format.
func Images() []Image {
	var all []Image
	add := func(format string, list ...Image) {
		for _, i := range list {
			i.Format = format
			all = append(all, i)
		}
	}
	add("JPEG", jpegs()...)
	add("PNG", pngs()...)
	add("WebP", append(webps(), alphaWebPs()...)...)
	add("BMP", bmps()...)
	add("GIF", gifs()...)
	add("TIFF", tiffs()...)
	add("AVIF", avifs()...)
	add("HEIC", heics()...)
	return all
}

// sides returns the largest multiples of 16 for a 4:3 image of at most s.Pixels.
func (s Size) sides() (width, height int) {
	width = max(16, int(math.Sqrt(float64(s.Pixels)*4/3))/16*16)
	return width, max(16, s.Pixels/width/16*16)
}

// strip returns the sides of the widest image of at most s.Pixels.
func (s Size) strip(maxSide int) (long, short int) {
	long = min(maxSide, s.Pixels)
	return long, max(1, s.Pixels/long)
}

// seeded returns a reproducible source of numbers.
func seeded(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible
}

// noise returns n bytes without a pattern.
func noise(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	out := make([]byte, n)
	_, _ = random.Read(out) // it never fails
	return out
}

// filled repeats unit until n bytes are full.
func filled(unit []byte, n int) []byte { return bytes.Repeat(unit, max(1, n/len(unit))) }
