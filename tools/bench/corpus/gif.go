package corpus

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
)

// gifHead returns a GIF as far as its frame's first data block, with a palette of 256 grays (GIF89a, 18 and 20).
func gifHead(width, height int, frame image.Rectangle, interlaced bool, codeSize byte) []byte {
	order := binary.LittleEndian
	out := order.AppendUint16([]byte("GIF89a"), uint16(width))
	out = append(order.AppendUint16(out, uint16(height)), 0xF7, 0, 0)
	for i := range 256 {
		out = append(out, byte(i), byte(i), byte(i))
	}
	return append(out, gifFrame(frame, interlaced, codeSize)...)
}

func gifFrame(frame image.Rectangle, interlaced bool, codeSize byte) []byte {
	out := []byte{','}
	for _, v := range []int{frame.Min.X, frame.Min.Y, frame.Dx(), frame.Dy()} {
		out = binary.LittleEndian.AppendUint16(out, uint16(v))
	}
	flags := byte(0)
	if interlaced {
		flags = 0x40
	}
	return append(out, flags, codeSize)
}

// gifBlocks splits data into blocks of so many bytes, and ends them.
func gifBlocks(data []byte, size int) []byte {
	var out bytes.Buffer
	for len(data) > 0 {
		n := min(size, len(data))
		out.WriteByte(byte(n))
		out.Write(data[:n])
		data = data[n:]
	}
	out.WriteByte(0)
	return out.Bytes()
}

// gifSides returns the sides of the largest images, which GIF bounds by 65,535.
func (s Size) gifSides() (width, height int) {
	w, h := s.sides()
	return min(w, 65535), min(h, 65535)
}

// drawn returns a graphic as programs write it.
func drawn(s Size) []byte {
	w, h := s.gifSides()
	var palette color.Palette
	for i := range 256 {
		palette = append(palette, color.Gray{uint8(i)})
	}
	img := image.NewPaletted(image.Rect(0, 0, w, h), palette)
	random := seeded(5)
	for y := range h {
		for x := range w {
			img.Pix[y*w+x] = uint8(x*40/w + y*30/h)
			if random.Uint32()&31 == 0 {
				img.Pix[y*w+x] ^= 1
			}
		}
	}
	var out bytes.Buffer
	_ = gif.Encode(&out, img, nil) // a buffer takes everything
	return out.Bytes()
}

// gifOf returns the largest GIF with data of codes.
func gifOf(interlaced bool, codeSize byte, blocks func(Size) []byte) func(Size) []byte {
	return func(s Size) []byte {
		w, h := s.gifSides()
		return append(gifHead(w, h, image.Rect(0, 0, w, h), interlaced, codeSize), blocks(s)...)
	}
}

// oneColor returns the fewest codes for n pixels of one color: each stands for one pixel more than the last, until the table is
// full and a clear code empties it.
func oneColor(n, codeSize int) []byte {
	var w lsbWriter
	first, bits := 1<<codeSize, codeSize+1
	for n > 0 {
		w.write(uint32(first), bits)
		bits = codeSize + 1
		w.write(0, bits)
		n--
		for next := first + 2; n > 0 && next < 4095; next++ {
			w.write(uint32(next), bits)
			n -= next - first
			if next+1 == 1<<bits && bits < 12 {
				bits++
			}
		}
	}
	w.align()
	return w.Bytes()
}

func gifs() []Image {
	small := image.Rect(0, 0, 64, 64)
	smallOf := func(before, blocks func(Size) []byte) func(Size) []byte {
		return func(s Size) []byte {
			head := gifHead(64, 64, small, false, 8)
			at := len(head) - 11 // of the frame
			return append(append(bytes.Clone(head[:at]), append(before(s), head[at:]...)...), blocks(s)...)
		}
	}
	nothing := func(Size) []byte { return nil }
	rows := func(Size) []byte { return gifBlocks(filledCodes(64*64), 255) }
	all := func(b []byte, size int) func(Size) []byte {
		return func(s Size) []byte { return gifBlocks(filled(b, (s.Bytes-4096)*size/(size+1)), size) }
	}
	return []Image{
		{Name: "graphic", Honest: true, Make: drawn},
		{Name: "one color", Make: gifOf(false, 8, longest)},
		{Name: "one color, interlaced", Make: gifOf(true, 8, longest)},
		{Name: "one color, codes of 3 bits", Make: gifOf(false, 2, longestOf(2))},
		{Name: "a code for each pixel", Make: gifOf(false, 2, func(s Size) []byte { return gifBlocks(literals(min(s.Pixels, s.Bytes*8/5)), 255) })},
		{Name: "only clear codes", Make: gifOf(false, 2, all([]byte{0x24, 0x49, 0x92}, 255))},
		{Name: "blocks of one byte", Make: gifOf(false, 8, all([]byte{0}, 1))},
		{Name: "no data at all", Make: gifOf(false, 8, func(Size) []byte { return []byte{0} })},
		{Name: "a small frame on a large canvas", Make: func(s Size) []byte {
			w, h := s.gifSides()
			return append(gifHead(w, h, small, false, 8), rows(s)...)
		}},
		{Name: "a frame beyond its canvas", Make: func(s Size) []byte {
			w, h := s.gifSides()
			return append(gifHead(1, 1, image.Rect(w-64, h-64, w, h), false, 8), rows(s)...)
		}},
		{Name: "empty comments", Make: smallOf(func(s Size) []byte { return filled([]byte{'!', 0xFE, 0}, s.Bytes-8192) }, rows)},
		{Name: "comments of one byte", Make: smallOf(func(s Size) []byte { return append(filled([]byte{1, 'a'}, s.Bytes-8192), 0) }, rows)},
		{Name: "bytes between the blocks", Make: smallOf(func(s Size) []byte { return make([]byte, s.Bytes-8192) }, rows)},
		{Name: "data behind the rows", Make: smallOf(nothing, func(s Size) []byte { return append(gifBlocks(filledCodes(64*64), 255), noise(s.Bytes-8192)...) })},
		{Name: "frames of an animation", Make: smallOf(nothing, func(s Size) []byte {
			return append(rows(s), filled(append(gifFrame(small, false, 8), rows(s)...), s.Bytes-16384)...)
		})},
		{Name: "one row", Make: func(s Size) []byte {
			w, h := s.strip(65535)
			return append(gifHead(w, h, image.Rect(0, 0, w, h), false, 8), longest(Size{Pixels: w * h})...)
		}},
		{Name: "one column", Make: func(s Size) []byte {
			h, w := s.strip(65535)
			return append(gifHead(w, h, image.Rect(0, 0, w, h), true, 8), longest(Size{Pixels: w * h})...)
		}},
		{Name: "cut in half", Make: func(s Size) []byte { data := drawn(s); return data[:len(data)/2] }},
	}
}

// filledCodes returns codes of n pixels.
func filledCodes(n int) []byte { return oneColor(n, 8) }

// longest returns blocks of the fewest codes for all pixels.
func longest(s Size) []byte { return longestOf(8)(s) }

func longestOf(codeSize int) func(Size) []byte {
	return func(s Size) []byte { return gifBlocks(oneColor(s.Pixels, codeSize), 255) }
}

// literals returns n codes of a pixel each, with a clear code before the codes would become longer.
func literals(n int) []byte {
	var w lsbWriter
	for i := range n {
		if i%2 == 0 {
			w.write(4, 3)
		}
		w.write(uint32(i&3), 3)
	}
	w.align()
	return w.Bytes()
}
