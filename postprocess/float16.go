package postprocess

import (
	"encoding/binary"
	"math"
)

// float16 decodes an IEEE 754 half-precision number: 1 sign bit, 5 exponent bits of bias 15, 10 fraction bits.
func float16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h>>10) & 0x1f
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction × 2⁻²⁴
		v := math.Float32bits(float32(fraction) * (1.0 / (1 << 24)))
		return math.Float32frombits(sign | v)
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// float16s decodes the halves in src, in the machine's byte order, into dst, which must hold len(src)/2.
func float16s(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float16(binary.NativeEndian.Uint16(src[2*i:]))
	}
}
