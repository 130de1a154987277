package corpus

import (
	"bytes"
	"encoding/binary"
)

// bitmap returns a BMP with a BITMAPINFOHEADER and, up to 8 bits a pixel, as many gray colors as there may be.
func bitmap(width, height, bits int, compression uint32, rows []byte) []byte {
	colors := 0
	if bits <= 8 {
		colors = 1 << bits
	}
	start := 14 + 40 + 4*colors
	out := binary.LittleEndian.AppendUint32([]byte("BM"), uint32(start+len(rows)))
	out = binary.LittleEndian.AppendUint32(append(out, 0, 0, 0, 0), uint32(start))
	for _, v := range []uint32{40, uint32(width), uint32(height)} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	out = append(out, 1, 0, byte(bits), 0)
	for _, v := range []uint32{compression, uint32(len(rows)), 2835, 2835, 0, 0} {
		out = binary.LittleEndian.AppendUint32(out, v)
	}
	for i := range colors {
		out = append(out, byte(i), byte(i), byte(i), 0)
	}
	return append(out, rows...)
}

// whole returns a bitmap of rows that are all there, of as many pixels as may be and as the file can hold.
func whole(bits int, s Size) []byte {
	s.Pixels = min(s.Pixels, (s.Bytes-2048)*8/bits)
	w, h := s.sides()
	return bitmap(w, h, bits, 0, noise((w*bits+31)/32*4*h))
}

func bmps() []Image {
	const rle8, rle4 = 1, 2
	coded := func(compression uint32, data func(s Size, w, h int) []byte) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.sides()
			bits := 8
			if compression == rle4 {
				bits = 4
			}
			return bitmap(w, h, bits, compression, data(s, w, h))
		}
	}
	end := []byte{0, 1}
	all := func(unit []byte) func(s Size, w, h int) []byte {
		return func(s Size, _, _ int) []byte { return append(filled(unit, s.Bytes-4096), end...) }
	}
	// runs are rows of runs of 255 pixels.
	runs := func(_ Size, w, h int) []byte {
		row := bytes.Repeat([]byte{255, 7}, w/255)
		if w%255 > 0 {
			row = append(row, byte(w%255), 7)
		}
		return append(bytes.Repeat(append(row, 0, 0), h), end...)
	}
	return []Image{
		{Name: "8 bits", Honest: true, Make: func(s Size) []byte { return whole(8, s) }},
		{Name: "24 bits", Honest: true, Make: func(s Size) []byte { return whole(24, s) }},
		{Name: "1 bit", Honest: true, Make: func(s Size) []byte { return whole(1, s) }},
		{Name: "4 bits", Honest: true, Make: func(s Size) []byte { return whole(4, s) }},
		{Name: "runs over all rows", Honest: true, Make: coded(rle8, runs)},
		{Name: "an end at once", Make: coded(rle8, func(Size, int, int) []byte { return end })},
		{Name: "4 bits, an end at once", Make: coded(rle4, func(Size, int, int) []byte { return end })},
		{Name: "no data at all", Make: coded(rle8, func(Size, int, int) []byte { return []byte{0} })},
		{Name: "runs of one pixel", Make: coded(rle8, all([]byte{1, 5}))},
		{Name: "runs of no pixel", Make: coded(rle8, all([]byte{0, 2, 0, 0}))},
		{Name: "ends of rows", Make: coded(rle8, all([]byte{0, 0}))},
		{Name: "steps to the last row", Make: coded(rle8, all([]byte{0, 2, 255, 255}))},
		{Name: "three pixels as they are", Make: coded(rle8, all([]byte{0, 3, 1, 2, 3, 0}))},
		{Name: "4 bits, runs of one pixel", Make: coded(rle4, all([]byte{1, 0x55}))},
		{Name: "4 bits, three pixels as they are", Make: coded(rle4, all([]byte{0, 3, 0x12, 0x30}))},
		{Name: "one row of a million pixels", Make: func(s Size) []byte {
			w, h := s.strip(1 << 20)
			return bitmap(w, h, 8, rle8, end)
		}},
		{Name: "cut in half", Make: func(s Size) []byte { data := whole(24, s); return data[:len(data)/2] }},
	}
}
