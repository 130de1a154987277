package corpus

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
)

// pngFile is a PNG being written.
type pngFile struct{ bytes.Buffer }

// newPNG starts a PNG with its header (PNG, third edition, 11.2.1).
func newPNG(width, height int, depth, color, interlaced byte) *pngFile {
	f := &pngFile{}
	f.WriteString("\x89PNG\r\n\x1a\n")
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(width)), uint32(height))
	f.chunk("IHDR", append(header, depth, color, 0, 0, interlaced))
	return f
}

func (f *pngFile) chunk(kind string, body []byte) {
	f.Write(binary.BigEndian.AppendUint32(nil, uint32(len(body))))
	f.WriteString(kind)
	f.Write(body)
	f.Write(binary.BigEndian.AppendUint32(nil, crc32.Update(crc32.ChecksumIEEE([]byte(kind)), crc32.IEEETable, body)))
}

func (f *pngFile) end() []byte {
	f.chunk("IEND", nil)
	return f.Bytes()
}

// deflated returns a zlib stream of unit, repeated.
func deflated(unit []byte, times, level int) []byte {
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, level)
	if err != nil {
		panic(err) // the level is a constant
	}
	for range times {
		_, _ = w.Write(unit) // a buffer takes everything
	}
	_ = w.Close()
	return out.Bytes()
}

// zeros returns a zlib stream of at least n zeros: the same bytes repeated.
func zeros(n int) []byte {
	const each = 1 << 20
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(make([]byte, each)) // a buffer takes everything
	_ = w.Flush()
	first := out.Len()
	_, _ = w.Write(make([]byte, each)) // from here on the window holds only zeros
	_ = w.Flush()
	again := bytes.Clone(out.Bytes()[first:])
	count := max(2, n/each)
	for range count - 2 {
		out.Write(again)
	}
	out.Write([]byte{3, 0}) // the last block: fixed codes, its end
	out.Write(binary.BigEndian.AppendUint32(nil, adlerOfZeros(count*each)))
	return out.Bytes()
}

// canvas returns an image whose rows are all zeros, with a filter.
func canvas(width, height int, depth, color, interlaced, filter byte) []byte {
	bits := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color] * int(depth)
	row := make([]byte, 1+(width*bits+7)/8)
	row[0] = filter
	f := newPNG(width, height, depth, color, interlaced)
	if color == 3 {
		f.chunk("PLTE", make([]byte, 768))
	}
	extra := 0
	if interlaced != 0 {
		extra = height // each of seven passes has separate rows; the excess is ignored
	}
	f.chunk("IDAT", deflated(row, height+extra, zlib.BestCompression))
	return f.end()
}

// slope returns a 16-bit gradient with alpha, as photo editors save it: every row uses Paeth's filter.
func slope(s Size) []byte {
	w, h := s.deep(64).sides()
	row := make([]byte, 1+8*w)
	row[0] = 4
	for x := 0; x < w; x += 3 {
		row[1+8*x+1], row[1+8*x+3], row[1+8*x+5] = 1, 2, 1
	}
	f := newPNG(w, h, 16, 6, 0)
	f.chunk("IDAT", deflated(row, h, zlib.BestSpeed))
	return f.end()
}

// graphic returns a typical drawing: areas of color, edges and a few thousand strokes.
func graphic(width, height int, alpha bool) []byte {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	random := seeded(1)
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for range 3000 {
		c := color.NRGBA{uint8(random.Uint32()), uint8(random.Uint32()), uint8(random.Uint32()), 255}
		if alpha {
			c.A = uint8(128 + random.IntN(128))
		}
		x, y := random.IntN(width), random.IntN(height)
		for dy := range 1 + random.IntN(max(1, height/20)) {
			for dx := range 1 + random.IntN(max(1, width/20)) {
				if random.IntN(50) > 0 {
					img.SetNRGBA(x+dx, y+dy, c)
				}
			}
		}
	}
	var out bytes.Buffer
	_ = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img) // a buffer takes everything
	return out.Bytes()
}

// photograph returns noise over a slope, with as many bits of noise as fit into the file.
func photograph(s Size) []byte {
	w, h := s.sides()
	img := image.NewGray(image.Rect(0, 0, w, h))
	random := seeded(3)
	for y := range h {
		for x := range w {
			img.Pix[y*w+x] = uint8(x*200/w) + uint8(random.Uint32()&1)
		}
	}
	var out bytes.Buffer
	_ = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img)
	return out.Bytes()
}

// codeOrder is the order of the lengths of a deflate block's code for lengths (RFC 1951, 3.2.7).
var codeOrder = []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codedBlock returns a deflate block of one zero with dynamic codes for literals and distances of up to nine bits, so that the
// decoder builds full-size tables.
func codedBlock() *lsbWriter {
	lengths := map[int]int{18: 2, 1: 3, 2: 3, 3: 3, 4: 4, 5: 4, 6: 4, 7: 4, 8: 4, 9: 4}
	codes := map[int]uint32{18: 0, 1: 2, 2: 3, 3: 4, 4: 10, 5: 11, 6: 12, 7: 13, 8: 14, 9: 15} // canonical
	var b lsbWriter
	b.write(0, 1)  // not the last
	b.write(2, 2)  // dynamic codes
	b.write(29, 5) // 286 literals and lengths
	b.write(29, 5) // 30 distances
	b.write(15, 4) // 19 lengths
	for _, symbol := range codeOrder {
		b.write(uint32(lengths[symbol]), 3)
	}
	symbol := func(s int) {
		for n := lengths[s] - 1; n >= 0; n-- {
			b.write(codes[s]>>n&1, 1)
		}
	}
	zeros := func(n uint32) {
		symbol(18)
		b.write(n-11, 7)
	}
	for length := 1; length <= 9; length++ { // literals 0 to 8
		symbol(length)
	}
	zeros(138)
	zeros(109)
	symbol(9) // 256, the end of the block
	zeros(29)
	for length := 1; length <= 9; length++ { // distances
		symbol(length)
	}
	symbol(9)
	zeros(20)
	b.write(0, 1) // literal 0
	for range 9 { // the end
		b.write(1, 1)
	}
	return &b
}

// tinyBlocks returns a zlib stream of such blocks in about n bytes: building their codes is the cost.
func tinyBlocks(n int) []byte {
	block := codedBlock()
	count := (n - 64) * 8 / block.total
	var out lsbWriter
	out.write(0x0178, 16) // zlib's header
	for range count {
		out.append(block)
	}
	out.write(3, 3) // the last block: fixed codes,
	out.write(0, 7) // its end
	out.align()
	out.Write(binary.BigEndian.AppendUint32(nil, adlerOfZeros(count)))
	return out.Bytes()
}

// adlerOfZeros returns the Adler-32 checksum of n zeros (RFC 1950, 8.2).
func adlerOfZeros(n int) uint32 { return uint32(n%65521)<<16 | 1 }

// colors returns a photograph of noise in color, with an alpha that varies by so many bits.
func colors(s Size, alpha uint32) []byte {
	w, h := s.sides()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	random := seeded(4)
	for i := range img.Pix {
		noise := random.Uint32()
		img.Pix[i] = uint8(i/4%w*150/w) + uint8(noise&15)
		if i%4 == 3 {
			img.Pix[i] = 255 - uint8(noise&alpha)
		}
	}
	var out bytes.Buffer
	_ = (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&out, img)
	return out.Bytes()
}

func pngs() []Image {
	return append([]Image{
		{Name: "graphic", Honest: true, Make: func(s Size) []byte { w, h := s.sides(); return graphic(w, h, false) }},
		{Name: "graphic with alpha", Honest: true, Make: func(s Size) []byte { w, h := s.sides(); return graphic(w, h, true) }},
		{Name: "gray photograph", Honest: true, Make: photograph},
		{Name: "photograph in color", Honest: true, Large: true, Make: func(s Size) []byte { return colors(s, 0) }},
		{Name: "photograph in color with alpha", Honest: true, Large: true, Make: func(s Size) []byte { return colors(s, 15) }},
		{Name: "slope of 16 bits with alpha", Honest: true, Make: slope},
	}, append(emptyPNGs(), hostilePNGs()...)...)
}

// emptyPNGs returns canvases of one color, with almost no data.
func emptyPNGs() []Image {
	blank := func(depth, color, interlaced, filter byte) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.deep(int(depth) * map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]).sides()
			return canvas(w, h, depth, color, interlaced, filter)
		}
	}
	return []Image{
		{Name: "empty canvas, 8 bits, RGB", Make: blank(8, 2, 0, 0)},
		{Name: "empty canvas, 16 bits, RGBA", Make: blank(16, 6, 0, 0)},
		{Name: "empty canvas, 16 bits, RGBA, Paeth", Make: blank(16, 6, 0, 4)},
		{Name: "empty canvas, 16 bits, RGB, Paeth", Make: blank(16, 2, 0, 4)},
		{Name: "empty canvas, 8 bits, RGBA, Paeth", Make: blank(8, 6, 0, 4)},
		{Name: "empty canvas, 8 bits, RGBA, average", Make: blank(8, 6, 0, 3)},
		{Name: "empty canvas, 1 bit", Make: blank(1, 0, 0, 0)},
		{Name: "empty canvas, palette", Make: blank(8, 3, 0, 1)},
		{Name: "empty canvas, interlaced, 16 bits, RGBA", Make: blank(16, 6, 1, 0)},
		{Name: "empty canvas, interlaced, 1 bit, palette", Make: blank(1, 3, 1, 0)},
	}
}

func hostilePNGs() []Image {
	small := func(f func(*pngFile, Size)) func(Size) []byte {
		return func(s Size) []byte {
			file := newPNG(64, 64, 8, 2, 0)
			f(file, s)
			return file.end()
		}
	}
	rows := deflated(make([]byte, 1+3*64), 64, zlib.BestCompression)
	chunks := func(kind string, body []byte) func(Size) []byte {
		return small(func(f *pngFile, s Size) {
			first := kind != "IDAT" && kind != "IEND"
			if !first {
				f.chunk("IDAT", rows)
			}
			for f.Len()+len(rows)+64+len(body) < s.Bytes {
				f.chunk(kind, body)
			}
			if first {
				f.chunk("IDAT", rows)
			}
		})
	}
	return []Image{
		{Name: "64×64, inflates to 1,000 times the file's limit", Make: small(func(f *pngFile, s Size) { f.chunk("IDAT", zeros(64*s.Bytes)) })},
		{Name: "64×64, zeros as long as fit into the file", Make: small(func(f *pngFile, s Size) { f.chunk("IDAT", zeros(900*s.Bytes)) })},
		{Name: "64×64, noise behind its rows", Make: small(func(f *pngFile, s Size) { f.chunk("IDAT", deflated(noise(s.Bytes-4096), 1, zlib.NoCompression)) })},
		{Name: "a code for each byte", Make: func(s Size) []byte {
			w, h := s.sides()
			f := newPNG(w, h, 8, 2, 0)
			f.chunk("IDAT", tinyBlocks(s.Bytes-200))
			return f.end()
		}},
		{Name: "one row of a million pixels", Make: func(s Size) []byte { w, h := s.strip(1 << 20); return canvas(w, h, 8, 2, 0, 4) }},
		{Name: "one column of a million pixels", Make: func(s Size) []byte { h, w := s.strip(1 << 20); return canvas(w, h, 8, 6, 0, 4) }},
		{Name: "empty IDAT chunks", Make: chunks("IDAT", nil)},
		{Name: "IDAT chunks of one byte behind the rows", Make: chunks("IDAT", []byte{0})},
		{Name: "empty text chunks", Make: chunks("tEXt", []byte("a\x00"))},
		{Name: "compressed text that inflates much", Make: chunks("zTXt", append([]byte("a\x00\x00"), zeros(1<<20)...))},
		{Name: "a color profile that inflates much", Make: small(func(f *pngFile, s Size) {
			f.chunk("iCCP", append([]byte("a\x00\x00"), zeros(500*s.Bytes)...))
			f.chunk("IDAT", rows)
		})},
		{Name: "frames of an animation", Make: chunks("fdAT", append(make([]byte, 4), rows...))},
		{Name: "cut in half", Make: func(s Size) []byte { data := photograph(s); return data[:len(data)/2] }},
	}
}
