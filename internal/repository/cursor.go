package repository

import (
	"encoding/binary"
	"errors"
	"io"
	"strconv"
)

// errWire is the error of data that is not protobuf.
var errWire = errors.New("not protobuf")

// cursor walks through a protobuf message in a file. It reads in windows, and skips fields without reading them.
type cursor struct {
	r     io.ReaderAt
	size  int64
	at    int64  // of the next byte
	left  int    // fields that may still be read
	wire  uint64 // of the field read last
	value uint64 // of the field read last, where it is a varint

	failed error // of ReadByte

	window [32 << 10]byte
	start  int64 // of the window in the file
	filled int
}

// ReadByte returns the next byte. The end of the file is a *truncatedError.
func (c *cursor) ReadByte() (byte, error) {
	if c.at >= c.size {
		c.failed = &truncatedError{c.at + 1}
		return 0, c.failed
	}
	if c.at < c.start || c.at >= c.start+int64(c.filled) {
		n, err := c.r.ReadAt(c.window[:min(int64(len(c.window)), c.size-c.at)], c.at)
		if n == 0 {
			if c.failed = err; err == nil || err == io.EOF { // it became shorter meanwhile
				c.failed = &truncatedError{c.size}
			}
			return 0, c.failed
		}
		c.start, c.filled = c.at, n
	}
	b := c.window[c.at-c.start]
	c.at++
	return b, nil
}

func (c *cursor) varint() (uint64, error) {
	v, err := binary.ReadUvarint(c)
	if err != nil && c.failed == nil { // it is longer than 64 bits
		err = errWire
	}
	return v, err
}

// field reads the header of a field in a message that ends at end. For a field with a length, that is returned and the cursor is
// at its first byte; otherwise the cursor is after the field.
func (c *cursor) field(end int64) (number uint64, length int64, err error) {
	if c.left--; c.left < 0 {
		return 0, 0, errTooManyParts
	}
	tag, err := c.varint()
	if err != nil {
		return 0, 0, err
	}
	number, c.wire, c.value = tag>>3, tag&7, 0
	switch c.wire {
	case wireVarint:
		c.value, err = c.varint()
	case wireFixed64:
		c.at += 8
	case wireFixed32:
		c.at += 4
	case wireBytes:
		var n uint64
		if n, err = c.varint(); n > 1<<62 {
			err = errWire
		}
		length = int64(n)
	default:
		err = errWire
	}
	if number == 0 || number > 1<<29 {
		err = errWire
	}
	if err == nil && c.at+length > end {
		err = errWire
		if end == c.size {
			err = &truncatedError{c.at + length}
		}
	}
	return number, length, err
}

// text reads the bytes up to end; it is empty for more than maxName.
func (c *cursor) text(end int64) (string, error) {
	if end-c.at > maxName {
		return "", nil
	}
	text := make([]byte, 0, max(0, end-c.at))
	for c.at < end {
		b, err := c.ReadByte()
		if err != nil {
			return "", err
		}
		text = append(text, b)
	}
	return string(text), nil
}

// count returns the number of varints up to end; a field that is a varint counts as one.
func (c *cursor) count(end int64) (n int, err error) {
	if c.wire == wireVarint {
		return 1, nil
	}
	for c.at < end && n < maxListed {
		if _, err := c.varint(); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// wholeBytes parses a decimal number of bytes; 0 if invalid.
func wholeBytes(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<60 {
		return 0
	}
	return n
}
