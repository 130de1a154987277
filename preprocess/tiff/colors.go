package tiff

import (
	"encoding/binary"

	"fovea/preprocess/header"
)

// unpack writes the samples of a row as 8 bits each to every step-th byte: of 16 bits the higher eight, fewer as they are
// stored, from the high bits of each byte.
func unpack(row, to []byte, step, bits int, bigEndian bool) {
	switch bits {
	case 16:
		high := 1
		if bigEndian {
			high = 0
		}
		for i, at := high, 0; at < len(to); i, at = i+2, at+step {
			to[at] = row[i]
		}
	case 8:
		for i, at := 0, 0; at < len(to); i, at = i+1, at+step {
			to[at] = row[i]
		}
	default:
		perByte, mask := 8/bits, byte(1<<bits-1)
		for i, at := 0, 0; at < len(to); i, at = i+1, at+step {
			to[at] = row[i/perByte] >> (8 - bits - i%perByte*bits) & mask
		}
	}
}

// sum adds to each sample that of the pixel before, step samples earlier (TIFF 6.0, section 14).
func sum(row []byte, step, bits int, bigEndian bool) {
	if bits == 8 {
		for i := step; i < len(row); i++ {
			row[i] += row[i-step]
		}
		return
	}
	if bigEndian {
		sum16(row, step, binary.BigEndian)
	} else {
		sum16(row, step, binary.LittleEndian)
	}
}

func sum16[T binary.ByteOrder](row []byte, step int, order T) {
	for i := 2 * step; i+1 < len(row); i += 2 {
		order.PutUint16(row[i:], order.Uint16(row[i:])+order.Uint16(row[i-2*step:]))
	}
}

// newColors returns the converter to blue, green and red.
func newColors(file *header.TIFFFile) converter {
	step, associated := file.Samples, file.Alpha == header.TIFFAssociated
	switch file.Color {
	case header.TIFFCMYK:
		return func(to, samples []byte) { fromCMYK(to, samples, step) }
	case header.TIFFRGB, header.TIFFYCbCr:
		if associated {
			return func(to, samples []byte) { fromMultiplied(to, samples, step) }
		}
		return func(to, samples []byte) { fromRGB(to, samples, step) }
	}
	values := table(file)
	return func(to, samples []byte) {
		for x := range len(to) / 3 {
			value := samples[x*step]
			if associated {
				value = divided(value, samples[x*step+1])
			}
			*(*[3]byte)(to[3*x:]) = values[value]
		}
	}
}

// table returns what each value of gray or each index becomes.
func table(file *header.TIFFFile) (values [256][3]byte) {
	if file.Color == header.TIFFIndexed {
		for i, c := range file.Palette {
			values[i] = [3]byte{c[2], c[1], c[0]}
		}
		return values
	}
	most := 1<<min(file.Bits, 8) - 1
	for i := range values {
		v := byte(min(255, i*255/most)) // there are no values above most
		if file.Color == header.TIFFWhiteIsZero {
			v = 255 - v
		}
		values[i] = [3]byte{v, v, v}
	}
	return values
}

func fromRGB(to, samples []byte, step int) {
	for at := 0; len(to) >= 3; at += step {
		s := samples[at : at+3 : at+3]
		to[0], to[1], to[2] = s[2], s[1], s[0]
		to = to[3:]
	}
}

// fromMultiplied divides colors by their alpha (unpackRGBa in Pillow's src/libImaging/Unpack.c).
func fromMultiplied(to, samples []byte, step int) {
	for at := 0; len(to) >= 3; at += step {
		s := samples[at : at+4 : at+4]
		to[0], to[1], to[2] = divided(s[2], s[3]), divided(s[1], s[3]), divided(s[0], s[3])
		to = to[3:]
	}
}

func divided(value, alpha byte) byte {
	if alpha == 0 {
		return 0
	}
	return byte(min(255, int(value)*255/int(alpha)))
}

// fromCMYK converts ink by the formula of Pillow (cmyk2rgb in src/libImaging/Convert.c); 255 is all ink.
func fromCMYK(to, samples []byte, step int) {
	for at := 0; len(to) >= 3; at += step {
		s := samples[at : at+4 : at+4]
		paper := 255 - uint32(s[3])
		for c := range 3 {
			ink := uint32(s[2-c])*paper + 128
			to[c] = byte(paper - (ink>>8+ink)>>8)
		}
		to = to[3:]
	}
}

// newAlphas returns the converter to three times alpha, the sample after the colors.
func newAlphas(file *header.TIFFFile) converter {
	step, at := file.Samples, file.AlphaSample()
	return func(to, samples []byte) {
		for x := range len(to) / 3 {
			alpha := samples[x*step+at]
			*(*[3]byte)(to[3*x:]) = [3]byte{alpha, alpha, alpha}
		}
	}
}
