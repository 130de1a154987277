package header

import "encoding/binary"

// isoBox is a box of an ISO media file (ISO/IEC 14496-12, 4.2).
type isoBox struct {
	kind string
	body []byte
	cut  bool // its end is missing
}

// isoBoxes calls do for each box, until it returns false, and reports whether all are valid. Boxes may end with the data they are in.
func isoBoxes(data []byte, do func(isoBox) bool) bool {
	for len(data) >= 8 {
		size, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		switch {
		case size == 0:
			size = uint64(len(data))
		case size == 1 && len(data) < 16:
			return false
		case size == 1:
			size, head = binary.BigEndian.Uint64(data[8:]), 16
		}
		if size < head {
			return false
		}
		box := isoBox{kind: string(data[4:8]), cut: size > uint64(len(data))}
		size = min(size, uint64(len(data)))
		box.body = data[head:size]
		if !do(box) {
			return true
		}
		data = data[size:]
	}
	return len(data) == 0
}

// isoReader reads big-endian numbers. Beyond the end they are 0 and short is set.
type isoReader struct {
	rest  []byte
	short bool
}

// bytes returns the next n bytes, or nil.
func (r *isoReader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads a number of 0 to 8 bytes.
func (r *isoReader) number(bytes int) uint64 {
	var v uint64
	for _, b := range r.bytes(bytes) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *isoReader) u8() int  { return int(r.number(1)) }
func (r *isoReader) u16() int { return int(r.number(2)) }
func (r *isoReader) u32() int { return int(r.number(4)) }

// full reads the version and the flags of a full box.
func (r *isoReader) full() (version, flags int) { return r.u8(), int(r.number(3)) }

// wide is the size of a number that later versions of a box enlarge from two bytes to four.
func wide(is bool) int {
	if is {
		return 4
	}
	return 2
}
