package repository

import (
	"encoding/binary"
	"io"
)

// Rewrite is a protobuf message that is made of parts of a file and of others.
type Rewrite struct{ parts []part }

// part is some bytes of the file, or others.
type part struct {
	at, length int64  // in the file
	own        []byte // instead, if length is 0
}

// Unchanged is a whole file of size bytes, which further fields may be appended to.
func Unchanged(size int64) *Rewrite { return &Rewrite{[]part{{length: size}}} }

// Size is the number of bytes of the message.
func (w *Rewrite) Size() (n int64) {
	for _, p := range w.parts {
		n += p.length + int64(len(p.own))
	}
	return n
}

// Append adds fields at the end of the message.
func (w *Rewrite) Append(fields []byte) { w.own(fields) }

// Fill fills data, of Size bytes, with the message that is made from a file. It fails if the file is shorter than it was.
func (w *Rewrite) Fill(data []byte, from io.ReaderAt) error {
	for _, p := range w.parts {
		if p.length == 0 {
			data = data[copy(data, p.own):]
			continue
		}
		n, err := from.ReadAt(data[:p.length], p.at)
		if int64(n) < p.length {
			return err
		}
		data = data[n:]
	}
	return nil
}

// keep adds a part of the file from start to end.
func (w *Rewrite) keep(start, end int64) {
	if last := len(w.parts) - 1; last >= 0 && w.parts[last].length > 0 && w.parts[last].at+w.parts[last].length == start {
		w.parts[last].length += end - start
	} else if end > start {
		w.parts = append(w.parts, part{at: start, length: end - start})
	}
}

func (w *Rewrite) own(bytes []byte) {
	if len(bytes) > 0 {
		w.parts = append(w.parts, part{own: bytes})
	}
}

// appendBytes appends a protobuf field with a length.
func appendBytes(to []byte, number uint64, value []byte) []byte {
	return append(appendHeader(to, number, int64(len(value))), value...)
}

// appendHeader appends the header of a protobuf field of length bytes.
func appendHeader(to []byte, number uint64, length int64) []byte {
	to = binary.AppendUvarint(to, number<<3|wireBytes)
	return binary.AppendUvarint(to, uint64(length))
}

// appendNumber appends a protobuf field that is a varint.
func appendNumber(to []byte, number, value uint64) []byte {
	to = binary.AppendUvarint(to, number<<3|wireVarint)
	return binary.AppendUvarint(to, value)
}
