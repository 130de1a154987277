package corpus

import "bytes"

// lsbWriter writes bits from the lowest on, as deflate and VP8L do.
type lsbWriter struct {
	bytes.Buffer
	bits  uint64
	n     int
	total int
}

func (w *lsbWriter) write(value uint32, n int) {
	w.bits |= uint64(value) << w.n
	w.total += n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.WriteByte(byte(w.bits))
		w.bits >>= 8
	}
}

// append writes all that another holds.
func (w *lsbWriter) append(other *lsbWriter) {
	for _, b := range other.Bytes() {
		w.write(uint32(b), 8)
	}
	w.write(uint32(other.bits), other.n)
}

func (w *lsbWriter) align() {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
}
