package corpus

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"math"
	"slices"
)

// TIFF's tags and compressions that the corpus uses (TIFF 6.0, appendix A).
const (
	tagWidth, tagHeight, tagBits, tagCompression, tagColor       = 256, 257, 258, 259, 262
	tagStripOffsets, tagSamples, tagRowsPerStrip, tagStripCounts = 273, 277, 278, 279
	tagPlanar, tagPredictor                                      = 284, 317
	tagTileWidth, tagTileHeight, tagTileOffsets, tagTileCounts   = 322, 323, 324, 325
	compressedPlain, compressedLZW, compressedJPEG               = 1, 5, 7
	compressedDeflate, compressedPackBits                        = 8, 32773
	colorGray, colorRGB, colorYCbCr                              = 1, 2, 6
)

// tiffImage is a TIFF to be written.
type tiffImage struct {
	width, height     int
	bits, samples     int // 8 and 1 if 0
	color             int
	compression       int
	predictor, planar bool
	tileWidth         int // 0: strips
	rows              int // of a strip or tile
	segments          [][]byte
	shared            bool // all segments are the first
	filler            int  // bytes between the data and the directory
}

// count returns the number of segments.
func (t *tiffImage) count() int {
	n := ceilDiv(t.height, t.rows)
	if t.tileWidth > 0 {
		n *= ceilDiv(t.width, t.tileWidth)
	}
	if t.planar {
		n *= t.samples
	}
	return n
}

// file writes it: the segments, then their positions and sizes, then the directory.
func (t *tiffImage) file() []byte {
	order := binary.LittleEndian
	out := []byte("II*\x00\x00\x00\x00\x00")
	var offsets, sizes []byte
	n := len(t.segments)
	if t.shared {
		n = t.count()
	}
	for i := range n {
		segment := t.segments[min(i, len(t.segments)-1)]
		at := len(out)
		if i >= len(t.segments) {
			at = len(out) - len(segment)
		} else {
			out = append(out, segment...)
		}
		offsets, sizes = order.AppendUint32(offsets, uint32(at)), order.AppendUint32(sizes, uint32(len(segment)))
	}
	out = append(out, make([]byte, t.filler+len(out)&1)...)
	lists := len(out)
	out = append(append(out, offsets...), sizes...)
	order.PutUint32(out[4:], uint32(len(out)))
	return append(out, t.directory(uint32(lists), uint32(n))...)
}

// directory returns the entries in order.
func (t *tiffImage) directory(lists, n uint32) []byte {
	order := binary.LittleEndian
	var entries []byte
	count := uint16(0)
	long := func(tag uint16, n, value uint32) {
		entries = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(entries, tag), 4), n), value)
		count++
	}
	sizes := lists + 4*n
	if n == 1 { // the number itself
		lists, sizes = 8, uint32(len(t.segments[0]))
	}
	yes := map[bool]uint32{false: 1, true: 2}
	long(tagWidth, 1, uint32(t.width))
	long(tagHeight, 1, uint32(t.height))
	long(tagBits, 1, uint32(max(1, t.bits)))
	long(tagCompression, 1, uint32(t.compression))
	long(tagColor, 1, uint32(t.color))
	if t.tileWidth == 0 {
		long(tagStripOffsets, n, lists)
	}
	long(tagSamples, 1, uint32(max(1, t.samples)))
	if t.tileWidth == 0 {
		long(tagRowsPerStrip, 1, uint32(t.rows))
		long(tagStripCounts, n, sizes)
	}
	long(tagPlanar, 1, yes[t.planar])
	long(tagPredictor, 1, yes[t.predictor])
	if t.tileWidth > 0 {
		long(tagTileWidth, 1, uint32(t.tileWidth))
		long(tagTileHeight, 1, uint32(t.rows))
		long(tagTileOffsets, n, lists)
		long(tagTileCounts, n, sizes)
	}
	return append(append(order.AppendUint16(nil, count), entries...), 0, 0, 0, 0)
}

// msbWriter writes bits from the highest on, as TIFF's LZW does.
type msbWriter struct {
	bytes.Buffer
	bits uint64
	n    int
}

func (w *msbWriter) write(value uint32, n int) {
	w.bits = w.bits<<n | uint64(value)
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.WriteByte(byte(w.bits >> (w.n - 8)))
	}
}

func (w *msbWriter) align() []byte {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
	return w.Bytes()
}

// lzwCodes compresses as libtiff does (TIFF 6.0, section 13).
func lzwCodes(data []byte) []byte {
	const reset, end, first, full = 256, 257, 258, 4094
	var w msbWriter
	var table map[uint32]uint32
	next, bits := first, 9
	restart := func() {
		w.write(reset, bits)
		table, next, bits = make(map[uint32]uint32, full), first, 9
	}
	restart()
	prefix := uint32(data[0])
	for _, b := range data[1:] {
		key := prefix<<8 | uint32(b)
		if code, known := table[key]; known {
			prefix = code
			continue
		}
		w.write(prefix, bits)
		table[key] = uint32(next)
		prefix = uint32(b)
		if next++; next >= 1<<bits {
			bits++
		}
		if next >= full {
			restart()
		}
	}
	w.write(prefix, bits)
	w.write(end, bits)
	return w.align()
}

// longestLZW returns the fewest codes for n bytes of one value.
func longestLZW(n int) []byte {
	const reset, first = 256, 258
	var w msbWriter
	bits := 9
	for n > 0 {
		w.write(reset, bits)
		bits = 9
		w.write(0, bits)
		n--
		for next := first; n > 0 && next < 4094; next++ {
			w.write(uint32(next), bits)
			n -= next - first + 2
			if next+2 >= 1<<bits && bits < 12 {
				bits++
			}
		}
	}
	return w.align()
}

// deflatedRows compresses once.
func deflatedRows(data []byte) []byte {
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, zlib.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(data) // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}

// packedBits compresses with PackBits.
func packedBits(data []byte) []byte {
	var out []byte
	for len(data) > 0 {
		n := 1
		for n < min(len(data), 128) && data[n] == data[0] {
			n++
		}
		if n > 1 {
			out = append(out, byte(1-n), data[0])
		} else {
			out = append(out, 0, data[0])
		}
		data = data[n:]
	}
	return out
}

// photographed returns differences of a slope with a little noise, so that a file of s.Bytes holds all pixels.
func photographed(s Size, compression, samples, bits int, compress func([]byte) []byte) []byte {
	s = s.deep(samples * bits)
	w, h := s.sides()
	t := &tiffImage{width: w, height: h, bits: bits, samples: samples, color: colorRGB, compression: compression, rows: 64}
	if samples == 1 {
		t.color = colorGray
	}
	t.predictor = compression != compressedPackBits
	random := seeded(6)
	strip := make([]byte, 64*w*samples*bits/8)
	for i := range strip {
		strip[i] = 0
		if random.Uint32()&31 == 0 {
			strip[i] = byte(random.Uint32() & 3)
		}
	}
	one := compress(strip)
	for y := 0; y < h; y += t.rows {
		t.segments = append(t.segments, one)
	}
	if total := len(one) * len(t.segments); total > s.Bytes-1<<20 {
		t.segments, t.height = t.segments[:max(1, (s.Bytes-1<<20)/len(one))], max(1, (s.Bytes-1<<20)/len(one))*t.rows
	}
	return t.file()
}

func honestTIFFs() []Image {
	return []Image{
		{Name: "LZW, RGB, differences", Honest: true, Make: func(s Size) []byte { return photographed(s, compressedLZW, 3, 8, lzwCodes) }},
		{Name: "LZW, RGB, 16 bits, differences", Honest: true, Make: func(s Size) []byte { return photographed(s, compressedLZW, 3, 16, lzwCodes) }},
		{Name: "deflate, RGB, differences", Honest: true, Make: func(s Size) []byte { return photographed(s, compressedDeflate, 3, 8, deflatedRows) }},
		{Name: "deflate, RGB, 16 bits, differences", Honest: true, Make: func(s Size) []byte { return photographed(s, compressedDeflate, 3, 16, deflatedRows) }},
		{Name: "PackBits, gray", Honest: true, Make: func(s Size) []byte { return photographed(s, compressedPackBits, 1, 8, packedBits) }},
		{Name: "plain, RGB", Honest: true, Make: func(s Size) []byte {
			w, h := Size{min(s.Pixels, (s.Bytes-4096)/3), 0}.sides()
			return oneStrip(w, h, compressedPlain, noise(3*w*h))
		}},
		{Name: "JPEG, tiles of 256×256", Honest: true, Make: func(s Size) []byte { return tiledJPEG(s, 256, 256) }},
	}
}

// tiledJPEG returns at most so many tiles across, each the same JPEG, with as much detail as fits into the file.
func tiledJPEG(s Size, tile, most int) []byte {
	across := max(1, min(int(math.Sqrt(float64(s.Pixels)))/tile, most))
	var one []byte
	for detail := 3.0; one == nil || detail > 0.1 && across*across*(len(one)+8) > s.Bytes-4096; detail /= 2 {
		one = baseline(tile, tile, ycc444, texture(detail), 0)
	}
	across = max(1, min(across, int(math.Sqrt(float64((s.Bytes-4096)/(len(one)+8))))))
	t := &tiffImage{width: across * tile, height: across * tile, bits: 8, samples: 3, color: colorYCbCr, compression: compressedJPEG, tileWidth: tile, rows: tile}
	for range t.count() {
		t.segments = append(t.segments, one)
	}
	return t.file()
}

func tiffs() []Image { return slices.Concat(honestTIFFs(), tiffCanvases(), tiffStrips(), tiffShapes()) }

// oneStrip returns a TIFF of RGB whose only strip is such data.
func oneStrip(width, height, compression int, strip []byte) []byte {
	t := &tiffImage{width: width, height: height, bits: 8, samples: 3, color: colorRGB, compression: compression, rows: height, segments: [][]byte{strip}}
	return t.file()
}

// tiffCanvases are the largest images, and small ones with much data, in one strip.
func tiffCanvases() []Image {
	canvas := func(compression int, strip func(s Size, bytes int) []byte) func(Size) []byte {
		return func(s Size) []byte {
			w, h := s.sides()
			return oneStrip(w, h, compression, strip(s, 3*w*h))
		}
	}
	filledTo := func(unit ...byte) func(Size, int) []byte {
		return func(s Size, _ int) []byte { return filled(unit, s.Bytes-4096) }
	}
	small := func(compression int, strip func(Size) []byte) func(Size) []byte {
		return func(s Size) []byte { return oneStrip(64, 64, compression, strip(s)) }
	}
	return []Image{
		{Name: "LZW, one color", Make: canvas(compressedLZW, func(_ Size, n int) []byte { return longestLZW(n) })},
		{Name: "LZW, only clear codes", Make: canvas(compressedLZW, filledTo(0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01, 0x00))},
		{Name: "LZW, a code for each byte", Make: canvas(compressedLZW, filledTo(0x80, 0x00, 0x20, 0x10, 0x00, 0x04, 0x02, 0x00, 0x00))},
		{Name: "LZW, data behind the rows", Make: small(compressedLZW, func(s Size) []byte { return append(longestLZW(3*64*64), noise(s.Bytes-8192)...) })},
		{Name: "deflate, one color", Make: canvas(compressedDeflate, func(_ Size, n int) []byte { return zeros(n + 1<<20) })},
		{Name: "deflate, 64×64, inflates to 1,000 times its size", Make: small(compressedDeflate, func(s Size) []byte { return zeros(900 * s.Bytes) })},
		{Name: "deflate, a code for each byte", Make: canvas(compressedDeflate, func(s Size, _ int) []byte { return tinyBlocks(s.Bytes - 4096) })},
		{Name: "PackBits, one color", Make: canvas(compressedPackBits, func(_ Size, n int) []byte { return filled([]byte{0x81, 7}, n/64+2) })},
		{Name: "PackBits, codes of nothing", Make: canvas(compressedPackBits, filledTo(0x80))},
		{Name: "PackBits, a code for each byte", Make: canvas(compressedPackBits, filledTo(0, 7))},
	}
}

// tiffStrips are as many strips of one row as are allowed.
func tiffStrips() []Image {
	strips := func(compression, samples int, segment []byte, shared, planar bool) func(Size) []byte {
		return func(s Size) []byte {
			s = s.deep(8 * samples)
			n := max(1, min(1<<16, (s.Bytes-4096)/(8+len(segment))))
			if planar {
				n = max(1, n/samples)
			}
			t := &tiffImage{width: max(1, min(s.Pixels/n, 1000)), height: n, bits: 8, samples: samples, color: colorRGB, compression: compression, rows: 1, planar: planar, segments: [][]byte{segment}, shared: shared}
			for !shared && len(t.segments) < t.count() {
				t.segments = append(t.segments, segment)
			}
			return t.file()
		}
	}
	return []Image{
		{Name: "LZW, 65,536 strips of one row", Make: strips(compressedLZW, 3, longestLZW(3*4096), false, false)},
		{Name: "deflate, 65,536 strips of one row", Make: strips(compressedDeflate, 3, deflatedRows(make([]byte, 3*4096)), false, false)},
		{Name: "deflate, 8 planes of strips of one row", Make: strips(compressedDeflate, 8, deflatedRows(make([]byte, 4096)), false, true)},
		{Name: "deflate, strips that share their data", Make: strips(compressedDeflate, 3, deflatedRows(make([]byte, 3*4096)), true, false)},
		{Name: "plain, strips that share their data", Make: strips(compressedPlain, 3, noise(3*1000), true, false)},
	}
}

// tiffShapes are tiles, and images that are unusual in other ways.
func tiffShapes() []Image {
	return []Image{
		{Name: "plain, 65,536 tiles of 27×27", Make: func(s Size) []byte {
			side := 27 * int(math.Sqrt(float64(min(s.Pixels/(27*27), 1<<16))))
			t := &tiffImage{width: side, height: side, bits: 8, samples: 3, color: colorRGB, compression: compressedPlain, tileWidth: 27, rows: 27, segments: [][]byte{noise(3 * 27 * 27)}, shared: true}
			return t.file()
		}},
		{Name: "JPEG, tiles of 64×64", Make: func(s Size) []byte { return tiledJPEG(s, 64, 1<<16) }},
		{Name: "JPEG, tiles of 16×16", Make: func(s Size) []byte { return tiledJPEG(s, 16, 256) }},
		{Name: "JPEG of 100 refinements in one strip", Make: func(s Size) []byte {
			w, h := s.sides()
			script := standard(1)
			for range 10 {
				script = append(script, script[len(script)-1])
			}
			t := &tiffImage{width: w, height: h, bits: 8, samples: 1, color: colorGray, compression: compressedJPEG, rows: h}
			t.segments = [][]byte{progressive(w, h, gray, script, texture(0.05))}
			return t.file()
		}},
		{Name: "tiles much larger than the image", Make: func(s Size) []byte {
			t := &tiffImage{width: 65, height: 65, bits: 8, samples: 3, color: colorRGB, compression: compressedLZW, tileWidth: 1 << 15, rows: 1 << 15}
			t.segments = [][]byte{longestLZW(min(1<<22, s.Pixels))}
			return t.file()
		}},
		{Name: "one row of a million pixels", Make: func(s Size) []byte {
			w, h := s.strip(1 << 20)
			return oneStrip(w, h, compressedLZW, longestLZW(3*w*h))
		}},
		{Name: "one column of a million pixels", Make: func(s Size) []byte {
			h, w := s.strip(1 << 20)
			return oneStrip(w, h, compressedDeflate, zeros(3*w*h))
		}},
		{Name: "a directory of 65,535 entries", Make: func(s Size) []byte {
			data := oneStrip(64, 64, compressedLZW, longestLZW(3*64*64))
			at := binary.LittleEndian.Uint32(data[4:])
			data = data[:len(data)-4]
			entry := bytes.Clone(data[len(data)-12:])
			n := min(65535, (s.Bytes-4096)/12)
			binary.LittleEndian.PutUint16(data[at:], uint16(n))
			for range n - 11 {
				data = append(data, entry...)
			}
			return append(data, 0, 0, 0, 0)
		}},
		{Name: "cut in half", Make: func(s Size) []byte {
			data := photographed(s, compressedLZW, 3, 8, lzwCodes)
			return data[:len(data)/2]
		}},
	}
}
