// Package corpus makes images that are hostile, a few bytes that ask for much work among them, and honest ones to compare
// them with. All are made from scratch and are the same each time.
package corpus

import (
	"bytes"
	"math"
	"math/rand/v2"
)

// Size is how large the images may be.
type Size struct {
	Pixels int // width × height
	Bytes  int // of the file
}

// deep is the size whose images of so many bits a pixel are as large as are allowed: those above 32 bits count for more.
func (s Size) deep(bits int) Size { return Size{s.Pixels * 32 / max(32, bits), s.Bytes} }

// Image is one of the corpus.
type Image struct {
	Format string
	Name   string
	Honest bool // as a program writes that means well
	Large  bool // an honest image of so many pixels that has more bytes than a file may have
	Make   func(Size) []byte
}

// Images are all of the corpus, by format.
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
	add("WebP", webps()...)
	add("BMP", bmps()...)
	return all
}

// sides are those of an image of at most so many pixels, 4:3, which 16 divides.
func (s Size) sides() (width, height int) {
	width = max(16, int(math.Sqrt(float64(s.Pixels)*4/3))/16*16)
	return width, max(16, s.Pixels/width/16*16)
}

// strip are the sides of the widest image there is of so many pixels.
func (s Size) strip(most int) (long, short int) {
	long = min(most, s.Pixels)
	return long, max(1, s.Pixels/long)
}

// seeded gives the same numbers each time.
func seeded(seed uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // nothing is secret about them
}

// noise is n bytes without a pattern.
func noise(n int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	out := make([]byte, n)
	_, _ = random.Read(out) // it never fails
	return out
}

// filled repeats unit until n bytes are full.
func filled(unit []byte, n int) []byte { return bytes.Repeat(unit, max(1, n/len(unit))) }
