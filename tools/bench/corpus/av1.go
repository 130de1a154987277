package corpus

import "math/bits"

// av1Frame is a still image of one tile (AV1 specification, 5.5 and 5.9), at most 2048×2048 pixels, whose coded data is arbitrary.
type av1Frame struct {
	width, height int
	full          bool // 4:4:4
	tools         bool // those that cost the most: palettes, filters of all kinds, superresolution
	quantizer     int  // 0 is lossless
	data          []byte
}

// config is the body of the av1C box.
func (f av1Frame) config() []byte {
	if f.full {
		return []byte{0x81, 1<<5 | 31, 0, 0}
	}
	return []byte{0x81, 31, 0x0C, 0}
}

// flag is 1 if the costly tools are on.
func (f av1Frame) flag() int {
	if f.tools {
		return 1
	}
	return 0
}

// sequence is the sequence header.
func (f av1Frame) sequence() []byte {
	var b msbWriter
	profile := 0
	if f.full {
		profile = 1
	}
	b.write(uint32(profile), 3)
	b.write(3, 2)  // a still image, with a reduced header
	b.write(31, 5) // any level
	w, h := bits.Len(uint(f.width-1)), bits.Len(uint(f.height-1))
	b.write(uint32(w-1), 4)
	b.write(uint32(h-1), 4)
	b.write(uint32(f.width-1), w)
	b.write(uint32(f.height-1), h)
	b.write(0, 1)                // superblocks of 64×64
	b.write(uint32(f.flag()), 1) // filter intra
	b.write(uint32(f.flag()), 1) // edge filter
	b.write(0, 1)                // no superresolution
	b.write(uint32(f.flag()), 1) // directional enhancement
	b.write(uint32(f.flag()), 1) // restoration
	b.write(0, 1)                // 8 bits
	if !f.full {
		b.write(0, 1) // not gray
	}
	b.write(0, 1) // colors are not described
	b.write(1, 1) // full range
	if !f.full {
		b.write(0, 2) // where chroma lies
	}
	b.write(0, 1) // quantizers of chroma are the same
	b.write(0, 1) // no grain
	b.write(1, 1) // end
	return b.align()
}

// header is the frame header.
func (f av1Frame) header() []byte {
	var b msbWriter
	b.write(0, 1)                // probabilities adapt
	b.write(uint32(f.flag()), 1) // screen content: palettes
	if f.tools {
		b.write(1, 1) // motion is whole
	}
	b.write(0, 1) // shown as large as it is
	if f.tools {
		b.write(0, 1) // no copies within the frame, which exclude filters
	}
	b.write(1, 1) // tiles of equal size: one
	for _, side := range []int{f.width, f.height} {
		if side > 64 {
			b.write(0, 1)
		}
	}
	b.write(uint32(f.quantizer), 8)
	b.write(0, 1+1+1) // no differences of quantizers
	b.write(0, 1)     // no matrices
	b.write(0, 1)     // no segments
	if f.quantizer > 0 {
		b.write(0, 1) // one quantizer
		f.filters(&b)
		b.write(1, 1) // transforms are chosen
	}
	b.write(0, 1) // all transforms
	return b.align()
}

// filters writes the parameters of filters.
func (f av1Frame) filters(b *msbWriter) {
	level := 63 * f.flag()
	b.write(uint32(level), 6)
	b.write(uint32(level), 6)
	if f.tools {
		b.write(uint32(level), 6)
		b.write(uint32(level), 6)
	}
	b.write(0, 3+1) // sharpness; no differences
	if !f.tools {
		return
	}
	b.write(3, 2)                    // damping
	b.write(0, 2)                    // one strength
	b.write(15<<8|3<<6|15<<2|3, 6*2) // the highest
	b.write(1, 2)                    // each block has the filter that it chooses
	b.write(1, 2)
	b.write(1, 2)
	b.write(0, 1) // units of 64×64
	if !f.full {
		b.write(0, 1)
	}
}

// unit is a unit with its length (AV1 specification, 5.3).
func av1Unit(kind int, body []byte) []byte {
	out := []byte{byte(kind<<3 | 2)}
	n := len(body)
	for ; n >= 1<<7; n >>= 7 {
		out = append(out, byte(n)|1<<7)
	}
	return append(append(out, byte(n)), body...)
}

// bytes is the frame with its headers.
func (f av1Frame) bytes() []byte {
	const sequence, frame = 1, 6
	return append(av1Unit(sequence, f.sequence()), av1Unit(frame, append(f.header(), f.data...))...)
}
