// Package float16 converts between float16 (IEEE 754 binary16: 1 sign bit, 5 exponent bits of bias 15, 10 fraction
// bits) and float32.
package float16

import "math"

// Bits returns the bits of the float16 (IEEE 754 binary16) nearest to f, ties to even. What is too large becomes
// infinite; what is too small, zero.
func Bits(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7FFFFFFF
	const (
		infinity = 0x7F800000
		tooLarge = 0x477FF000 // 65520: halfway between the largest float16 and the next there would be
		normal   = 0x38800000 // 2^-14: the smallest normal float16
	)
	switch {
	case magnitude > infinity:
		return sign | 0x7E00 // not a number
	case magnitude >= tooLarge:
		return sign | 0x7C00
	case magnitude < normal:
		// Below 2^-14 float16 counts in steps of 2^-24.
		steps := math.RoundToEven(float64(math.Float32frombits(magnitude)) * (1 << 24))
		return sign | uint16(steps)
	}
	// Rebias the exponent (127 to 15) and round the 13 bits that fall off; a carry into the exponent is right.
	magnitude -= (127 - 15) << 23
	magnitude += 0x0FFF + magnitude>>13&1
	return sign | uint16(magnitude>>13)
}

// Value is the value of a float16's bits, exactly.
func Value(h uint16) float32 {
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
