package httpserver

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// The parts of HTTP/2 that frameReader looks at: RFC 9113 sections 3.4, 4.1 and 6.1.
const (
	prefaceSize     = 24
	frameHeaderSize = 9
	dataFrame       = 0
	endStream       = 1 // flag of a DATA frame
)

// blockSize is how much of an HTTP/2 connection is read at once, in bytes. A longer rest of a frame is read without a block.
const blockSize = 128 << 10

var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// frameReader reads an HTTP/2 connection, from its first frame on, in large blocks, and joins the DATA frames of a stream that follow
// one another in a block. Many clients send no more than 16 KiB in a frame; for each, net/http makes two system calls, wakes two
// goroutines and updates two windows. A connection without traffic holds no block.
type frameReader struct {
	// receive reads to what into returns. It calls wait, unless nil, before it waits for something to read, and into again after it.
	receive func(into func() []byte, wait func()) (int, error)

	block *[blockSize]byte // nil: none
	data  []byte           // of block: received and not returned yet
	part  []byte           // of the next frame's header, if it has arrived only in part
	left  int              // bytes of the last frame that have not arrived yet
}

// newFrameReader returns the reader of a connection; nil for one with TLS, whose records are blocks already.
func newFrameReader(c net.Conn) *frameReader {
	socket, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	return &frameReader{receive: func(into func() []byte, wait func()) (int, error) { return receive(raw, into, wait) }}
}

// receive reads from a socket once there is something to read.
func receive(raw syscall.RawConn, into func() []byte, wait func()) (n int, err error) {
	waiting := raw.Read(func(fd uintptr) bool {
		for {
			switch n, err = syscall.Read(int(fd), into()); {
			case errors.Is(err, syscall.EINTR):
				continue
			case errors.Is(err, syscall.EAGAIN) && wait != nil:
				wait()
			}
			return !errors.Is(err, syscall.EAGAIN)
		}
	})
	switch {
	case waiting != nil: // a deadline, or closed
		return 0, waiting
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 && r.left >= blockSize && len(p) >= blockSize {
		n, err := r.receive(func() []byte { return p[:min(len(p), r.left)] }, nil)
		r.left -= n
		return n, err
	}
	for len(r.data) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	if r.data = r.data[n:]; len(r.data) == 0 {
		r.free()
	}
	return n, nil
}

func (r *frameReader) free() {
	if r.block != nil {
		blocks.Put(r.block)
		r.block, r.data = nil, nil
	}
}

// fill reads a block.
func (r *frameReader) fill() error {
	n, err := r.receive(func() []byte {
		if r.block == nil {
			r.block, _ = blocks.Get().(*[blockSize]byte) // never another type
		}
		return r.block[copy(r.block[:], r.part):]
	}, r.free)
	if err != nil {
		r.free()
		return err
	}
	r.data = r.join(r.block[:len(r.part)+n])
	if len(r.data) == 0 {
		r.free()
	}
	return nil
}

// join joins the DATA frames in b, in place, and returns what is left of b. It keeps a header that has arrived only in part.
func (r *frameReader) join(b []byte) []byte {
	r.part = r.part[:0]
	if r.left >= len(b) {
		r.left -= len(b)
		return b
	}
	in := r.left
	out, open := in, -1 // open is where the header of a DATA frame is that can be continued; -1: none
	r.left = 0
	for in < len(b) {
		rest := b[in:]
		if len(rest) < frameHeaderSize {
			r.part = append(r.part, rest...)
			break
		}
		size := frameHeaderSize + lengthOf(rest)
		if size > len(rest) {
			r.left = size - len(rest)
			out += copy(b[out:], rest)
			break
		}
		frame := rest[:size]
		if open >= 0 && continues(b[open:], frame) {
			b[open+4] = frame[4] // first: the copy may overwrite it
			out += copy(b[out:], frame[frameHeaderSize:])
			setLength(b[open:], out-open-frameHeaderSize)
		} else {
			open = out
			out += copy(b[out:], frame)
		}
		if b[open+3] != dataFrame || b[open+4] != 0 { // padded, or the stream's last
			open = -1
		}
		in += size
	}
	return b[:out]
}

// continues reports whether a frame is a DATA frame of the same stream, without padding.
func continues(open, frame []byte) bool {
	return frame[3] == dataFrame && frame[4]&^endStream == 0 && binary.BigEndian.Uint32(frame[5:]) == binary.BigEndian.Uint32(open[5:])
}

// lengthOf is that of a frame's payload.
func lengthOf(header []byte) int { return int(header[0])<<16 | int(header[1])<<8 | int(header[2]) }

func setLength(header []byte, n int) {
	header[0], header[1], header[2] = byte(n>>16), byte(n>>8), byte(n)
}
