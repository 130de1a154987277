package v2http

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
)

// Arrays of numbers are most of a request's JSON: an image of 224×224 pixels has 150,528. What follows reads the plain ones, and leaves
// all others, and all errors, to scanner and strconv.

// skipNumbers skips an array without strings and objects, and reports whether it is one. It checks only its depth: Read checks the rest.
func (s *scanner) skipNumbers() (array []byte, ok bool) {
	if s.next() != '[' {
		return nil, false
	}
	for at, depth := s.at, 0; ; {
		end := bytes.IndexByte(s.data[at:], ']')
		if end < 0 {
			return nil, false
		}
		part := s.data[at : at+end]
		depth += bytes.Count(part, []byte{'['})
		if depth > maxDepth-s.depth || bytes.IndexByte(part, '"') >= 0 || bytes.IndexByte(part, '{') >= 0 {
			return nil, false
		}
		at += end + 1
		if depth--; depth == 0 {
			array, s.at = s.data[s.at:at], at
			return array, true
		}
	}
}

// plain converts the number at the beginning of data to the bits of an element, and returns its length; 0 if it is not a plain one.
type plain func(data []byte) (element uint64, length int)

// plains are those of the datatypes.
var plains = map[string]plain{
	"UINT8": unsigned(8), "UINT16": unsigned(16), "UINT32": unsigned(32), "UINT64": unsigned(64),
	"INT8": signed(8), "INT16": signed(16), "INT32": signed(32), "INT64": signed(64),
	"FP32": float32Of, "FP64": float64Of,
}

// plainElements converts elements as long as they are plain numbers with commas after them.
func (r *valueReader) plainElements() {
	for r.left > 0 {
		r.next()
		element, length := r.plain(r.scanner.data[r.at:])
		if length == 0 {
			return
		}
		at := r.at
		if r.at += length; r.next() != ',' {
			r.at = at
			return
		}
		r.at++
		r.left--
		switch r.size {
		case 1:
			r.data = append(r.data, byte(element))
		case 2:
			r.data = binary.LittleEndian.AppendUint16(r.data, uint16(element))
		case 4:
			r.data = binary.LittleEndian.AppendUint32(r.data, uint32(element))
		default:
			r.data = binary.LittleEndian.AppendUint64(r.data, element)
		}
	}
}

// decimal is a number: ±mantissa·10^exponent.
type decimal struct {
	mantissa uint64
	exponent int
	negative bool
	whole    bool // it is written without a fraction and an exponent
}

// maxDigits is how many digits always fit into 64 bits.
const maxDigits = 19

// scanDecimal reads a number of JSON; length is 0 if there is none, or if it has too many digits.
func scanDecimal(data []byte) (d decimal, length int) {
	at := 0
	if len(data) > 0 && data[0] == '-' {
		d.negative, at = true, 1
	}
	first := at
	d.mantissa, at = scanDigits(data, at, 0)
	n := at - first
	if n == 0 || n > maxDigits || n > 1 && data[first] == '0' {
		return d, 0
	}
	d.whole = true
	if at < len(data) && data[at] == '.' {
		point := at
		d.mantissa, at = scanDigits(data, at+1, d.mantissa)
		fraction := at - point - 1
		if n += fraction; fraction == 0 || n > maxDigits {
			return d, 0
		}
		d.exponent, d.whole = -fraction, false
	}
	if at < len(data) && data[at]|0x20 == 'e' {
		exponent, length := scanExponent(data[at:])
		if length == 0 {
			return d, 0
		}
		d.exponent, d.whole, at = d.exponent+exponent, false, at+length
	}
	return d, at
}

// scanDigits reads digits from data[at:], as further digits of n, and returns where they end. The number is right if there are no more
// than maxDigits.
func scanDigits(data []byte, at int, n uint64) (number uint64, end int) {
	for len(data)-at >= 8 {
		eight, ok := eightDigits(binary.LittleEndian.Uint64(data[at:]))
		if !ok {
			break
		}
		n, at = n*1e8+eight, at+8
	}
	for at < len(data) && data[at]-'0' <= 9 {
		n, at = n*10+uint64(data[at]-'0'), at+1
	}
	return n, at
}

// eightDigits converts eight bytes, the first one lowest, if all are digits: pairs, then pairs of pairs, then these, each in one
// multiplication.
func eightDigits(b uint64) (n uint64, ok bool) {
	const zeros, high, carry = 0x3030303030303030, 0xf0f0f0f0f0f0f0f0, 0x0606060606060606
	if b&high != zeros || (b+carry)&high != zeros {
		return 0, false
	}
	b -= zeros
	b = b*10 + b>>8
	const pairs = 0x000000ff000000ff
	return (b&pairs*(100+1000000<<32) + b>>16&pairs*(1+10000<<32)) >> 32, true
}

// scanExponent reads an exponent of at most four digits, with its e; length is 0 if there is none.
func scanExponent(data []byte) (exponent, length int) {
	at, negative := 1, false
	if at < len(data) && (data[at] == '+' || data[at] == '-') {
		negative, at = data[at] == '-', at+1
	}
	n, end := scanDigits(data, at, 0)
	if end == at || end-at > 4 {
		return 0, 0
	}
	if negative {
		return -int(n), end
	}
	return int(n), end
}

// unsigned is for whole numbers from 0 of so many bits.
func unsigned(size int) plain {
	return func(data []byte) (uint64, int) {
		d, length := scanDecimal(data)
		if !d.whole || d.negative || bits.Len64(d.mantissa) > size {
			return 0, 0
		}
		return d.mantissa, length
	}
}

// signed is for whole numbers of so many bits in two's complement. It leaves the lowest one to strconv.
func signed(size int) plain {
	return func(data []byte) (uint64, int) {
		d, length := scanDecimal(data)
		if !d.whole || bits.Len64(d.mantissa) > size-1 {
			return 0, 0
		}
		if d.negative {
			return -d.mantissa, length
		}
		return d.mantissa, length
	}
}

// powers are the powers of ten that float64 has exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// approximate is the number as a float64 that differs from it by at most two units in the last place; ok is false for exponents without an
// exact power. Below 2^53, it is the nearest float64: mantissa and power are exact, and rounded once (W. D. Clinger, How to Read
// Floating Point Numbers Accurately, 1990).
func (d *decimal) approximate() (f float64, ok bool) {
	f = float64(d.mantissa)
	switch {
	case d.exponent < -22 || d.exponent > 22:
		return 0, false
	case d.exponent < 0:
		f /= powers[-d.exponent]
	default:
		f *= powers[d.exponent]
	}
	if d.negative {
		f = -f
	}
	return f, true
}

// float64Of is for the numbers that approximate has exactly.
func float64Of(data []byte) (uint64, int) {
	d, length := scanDecimal(data)
	f, ok := d.approximate()
	if !ok || d.mantissa >= 1<<53 {
		return 0, 0
	}
	return math.Float64bits(f), length
}

// float32Of is for numbers of at least 1e-22, which are normal ones, and 0. The nearest float32 of the approximation is that of the number,
// unless the middle of two float32 may be between them: its lower 29 bits are half of a float32's unit then, or almost.
func float32Of(data []byte) (uint64, int) {
	const lower, half, near = 1<<29 - 1, 1 << 28, 4
	d, length := scanDecimal(data)
	f, ok := d.approximate()
	if rest := math.Float64bits(f) & lower; !ok || rest >= half-near && rest <= half+near {
		return 0, 0
	}
	return uint64(math.Float32bits(float32(f))), length
}
