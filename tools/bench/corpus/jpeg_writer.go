package corpus

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// The JPEG markers that are written (ITU-T T.81, table B.1).
const (
	sof0 = 0xC0 // baseline
	sof1 = 0xC1 // extended sequential
	sof2 = 0xC2 // progressive
	dht  = 0xC4
	rst0 = 0xD0
	soi  = 0xD8
	eoi  = 0xD9
	sos  = 0xDA
	dqt  = 0xDB
	dri  = 0xDD
	app0 = 0xE0
	com  = 0xFE
)

// component is a JPEG component's sampling factors. Identifiers are 1, 2, 3, 4; all use quantization table 0 and Huffman tables 0.
type component struct{ h, v int }

var (
	gray     = []component{{1, 1}}
	ycc444   = []component{{1, 1}, {1, 1}, {1, 1}}
	ycc420   = []component{{2, 2}, {1, 1}, {1, 1}}
	fourFull = []component{{1, 1}, {1, 1}, {1, 1}, {1, 1}}
)

// jpegFile is a JPEG being written.
type jpegFile struct {
	bytes.Buffer
	width, height int
	components    []component
}

func newJPEG(marker byte, width, height int, components []component) *jpegFile {
	f := &jpegFile{width: width, height: height, components: components}
	f.Write([]byte{0xFF, soi})
	f.segment(dqt, append([]byte{0}, bytes.Repeat([]byte{8}, 64)...))
	f.frame(marker)
	return f
}

func (f *jpegFile) segment(marker byte, body []byte) {
	f.Write([]byte{0xFF, marker})
	f.Write(binary.BigEndian.AppendUint16(nil, uint16(len(body)+2)))
	f.Write(body)
}

func (f *jpegFile) frame(marker byte) {
	body := []byte{8}
	body = binary.BigEndian.AppendUint16(body, uint16(f.height))
	body = binary.BigEndian.AppendUint16(body, uint16(f.width))
	body = append(body, byte(len(f.components)))
	for i, c := range f.components {
		body = append(body, byte(i+1), byte(c.h<<4|c.v), 0)
	}
	f.segment(marker, body)
}

// end writes the end marker and returns the file.
func (f *jpegFile) end() []byte {
	f.Write([]byte{0xFF, eoi})
	return f.Bytes()
}

// blocks returns the number of 8×8 blocks of a component in a scan of it alone (ITU-T T.81, A.2.2).
func (f *jpegFile) blocks(c int) int {
	most := f.sampling()
	across := ceilDiv(ceilDiv(f.width*f.components[c].h, most.h), 8)
	return across * ceilDiv(ceilDiv(f.height*f.components[c].v, most.v), 8)
}

func (f *jpegFile) sampling() component {
	most := component{1, 1}
	for _, c := range f.components {
		most.h, most.v = max(most.h, c.h), max(most.v, c.v)
	}
	return most
}

// mcus returns the number of minimum coded units (MCUs) in a scan of all components, and of blocks in each.
func (f *jpegFile) mcus() (count, blocksEach int) {
	most := f.sampling()
	for _, c := range f.components {
		blocksEach += c.h * c.v
	}
	return ceilDiv(f.width, 8*most.h) * ceilDiv(f.height, 8*most.v), blocksEach
}

// scanHeader begins a scan of some components, by their indexes.
func (f *jpegFile) scanHeader(components []int, first, last, high, low int) {
	body := []byte{byte(len(components))}
	for _, c := range components {
		body = append(body, byte(c+1), 0)
	}
	f.segment(sos, append(body, byte(first), byte(last), byte(high<<4|low)))
}

// componentIndexes returns the indexes of all components.
func (f *jpegFile) componentIndexes() []int {
	var list []int
	for i := range f.components {
		list = append(list, i)
	}
	return list
}

// code is a Huffman code: for each symbol its bits and their number.
type code struct {
	bits   [256]uint16
	length [256]uint8
}

// huffman writes a table that gives symbols codes of the given lengths, shortest first, and returns the code.
func (f *jpegFile) huffman(class int, symbols []byte, lengths []int) *code {
	var c code
	body := make([]byte, 17, 17+len(symbols))
	body[0] = byte(class << 4)
	next, last := 0, 0
	for i, s := range symbols {
		next <<= lengths[i] - last
		last = lengths[i]
		c.bits[s], c.length[s] = uint16(next), uint8(last)
		body[last]++
		next++
	}
	f.segment(dht, append(body, symbols...))
	return &c
}

// lengthsFor returns code lengths for n symbols by decreasing frequency, similar to those of photographs; the first has one bit.
func lengthsFor(n int) []int {
	var lengths []int
	for length, count := range []int{1: 1, 3: 1, 4: 2, 5: 2, 6: 2, 7: 4, 8: 8, 9: 16, 10: 32, 13: 200} {
		for range count {
			lengths = append(lengths, length)
		}
	}
	return lengths[:n]
}

// bitWriter writes entropy-coded data: bits from the highest on, with a zero byte after each 0xFF.
type bitWriter struct {
	out  []byte
	bits uint64
	n    int
}

func (w *bitWriter) write(value uint32, n int) {
	w.bits = w.bits<<n | uint64(value)&(1<<n-1)
	for w.n += n; w.n >= 8; w.n -= 8 {
		b := byte(w.bits >> (w.n - 8))
		w.out = append(w.out, b)
		if b == 0xFF {
			w.out = append(w.out, 0)
		}
	}
}

// align fills the last byte with ones.
func (w *bitWriter) align() {
	if w.n > 0 {
		w.write(0xFF, 8-w.n)
	}
}

// entropy codes one scan's blocks. It is run twice: with counts alone, and with the codes made of
// them.
type entropy struct {
	counts [2][256]int // of the symbols for DC and for AC
	codes  *[2]*code
	bitWriter
	last        [4]int   // the DC of each component's last block
	run         int      // blocks that end, of a progressive scan
	corrections []uint32 // bits that follow the run
}

func (e *entropy) symbol(class int, s byte) {
	if e.codes == nil {
		e.counts[class][s]++
		return
	}
	c := e.codes[class]
	e.write(uint32(c.bits[s]), int(c.length[s]))
}

func (e *entropy) raw(value uint32, n int) {
	if e.codes != nil && n > 0 {
		e.write(value, n)
	}
}

// value writes a symbol of a number's size, and the number as JPEG does (ITU-T T.81, F.1.2.1).
func (e *entropy) value(class, zeros, v int) {
	n := bits.Len(uint(max(v, -v)))
	e.symbol(class, byte(zeros<<4|n))
	if v < 0 {
		v--
	}
	e.raw(uint32(v), n)
}

func (e *entropy) endRun() {
	if e.run > 0 {
		n := bits.Len(uint(e.run)) - 1
		e.symbol(1, byte(n<<4))
		e.raw(uint32(e.run), n)
		e.run = 0
	}
	e.writeCorrections(e.corrections)
	e.corrections = e.corrections[:0]
}

// writeCorrections writes the bits of coefficients that earlier scans have already shown to be nonzero.
func (e *entropy) writeCorrections(list []uint32) {
	for _, b := range list {
		e.raw(b, 1)
	}
}

// endBlock counts a block whose remaining coefficients are zero.
func (e *entropy) endBlock() {
	if e.run++; e.run == 0x7FFF || len(e.corrections) > 900 {
		e.endRun()
	}
}

// emptyBlocks counts n empty blocks.
func (e *entropy) emptyBlocks(n int) {
	for ; n > 0; n -= e.run {
		e.endRun()
		e.run = min(n, 0x7FFF)
	}
}

// first codes coefficients first..last of a block without their low bits for the first time (ITU-T T.81, G.1.2.2).
func (e *entropy) first(block *[64]int16, first, last, low int) {
	zeros := 0
	for _, v := range block[first : last+1] {
		t := int(max(v, -v)) >> low
		if t == 0 {
			zeros++
			continue
		}
		for e.endRun(); zeros > 15; zeros -= 16 {
			e.symbol(1, 0xF0)
		}
		if v < 0 {
			t = -t
		}
		e.value(1, zeros, t)
		zeros = 0
	}
	if zeros > 0 {
		e.endBlock()
	}
}

// refine adds a bit to coefficients first..last of a block (ITU-T T.81, G.1.2.3).
func (e *entropy) refine(block *[64]int16, first, last, low int) {
	size := func(k int) int { return int(max(block[k], -block[k])) >> low }
	lastNew := 0
	for k := first; k <= last; k++ {
		if size(k) == 1 {
			lastNew = k
		}
	}
	zeros := 0
	var later []uint32
	for k := first; k <= last; k++ {
		t := size(k)
		for ; t != 0 && zeros > 15 && k <= lastNew; zeros -= 16 {
			e.endRun()
			e.symbol(1, 0xF0)
			e.writeCorrections(later)
			later = later[:0]
		}
		switch {
		case t == 0:
			zeros++
		case t > 1:
			later = append(later, uint32(t&1))
		default:
			e.endRun()
			e.symbol(1, byte(zeros<<4|1))
			sign := uint32(1)
			if block[k] < 0 {
				sign = 0
			}
			e.raw(sign, 1)
			e.writeCorrections(later)
			later, zeros = later[:0], 0
		}
	}
	if zeros > 0 || len(later) > 0 {
		e.corrections = append(e.corrections, later...)
		e.endBlock()
	}
}

// sequential codes a block of a baseline scan; dc is that of the block before.
func (e *entropy) sequential(block *[64]int16, dc int) {
	e.value(0, 0, int(block[0])-dc)
	zeros := 0
	for _, v := range block[1:] {
		if v == 0 {
			zeros++
			continue
		}
		for ; zeros > 15; zeros -= 16 {
			e.symbol(1, 0xF0)
		}
		e.value(1, zeros, int(v))
		zeros = 0
	}
	if zeros > 0 {
		e.symbol(1, 0)
	}
}

// writeScan writes a scan's Huffman tables, its header and its data: n units (blocks or MCUs), which repeat after a period.
// encode codes unit i. A first pass counts the symbols, a second one writes them.
func (f *jpegFile) writeScan(n, period int, header func(), encode func(e *entropy, i int)) {
	counting := &entropy{}
	counting.encodeUnits(n, period, encode)
	var codes [2]*code
	for class, counts := range counting.counts {
		var symbols []byte
		for s, n := range counts {
			if n > 0 {
				symbols = append(symbols, byte(s))
			}
		}
		slices.SortStableFunc(symbols, func(a, b byte) int { return cmp.Compare(counts[b], counts[a]) })
		codes[class] = f.huffman(class, symbols, lengthsFor(len(symbols)))
	}
	header()
	writing := &entropy{codes: &codes}
	writing.encodeUnits(n, period, encode)
	writing.align()
	f.Write(writing.out)
}

// encodeUnits codes n units. Eight periods end at the bit within a byte at which they began. So the first eight are coded,
// then eight more, whose bytes are repeated for those that follow.
func (e *entropy) encodeUnits(n, period int, encode func(e *entropy, i int)) {
	some := func(from, to int) {
		for i := from; i < to; i++ {
			if encode(e, i); period > 1 && (i+1)%period == 0 {
				e.endRun()
			}
		}
		if period > 1 || to == n {
			e.endRun()
		}
	}
	set := 8 * period
	if period == 1 || n < 4*set {
		some(0, n)
		return
	}
	some(0, set)
	start := len(e.out)
	some(set, 2*set)
	again := slices.Clone(e.out[start:])
	sets := n/set - 2
	if e.codes != nil {
		for range sets {
			e.out = append(e.out, again...)
		}
	}
	some((2+sets)*set, n)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
