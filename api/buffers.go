package api

import (
	"errors"
	"io"
	"math/bits"
	"sync"
)

// Buffers for images come in sizes from 4 KiB to 20 MiB, four to a doubling, one pool each. Larger ones are not kept.
const (
	smallestShift = 12
	sizes         = 4*12 + 2
	firstRoom     = 32<<10 - 1 // of a body whose length is not known, in bytes; readAll asks for one more
	smallRoom     = 16 << 10   // a buffer's largest first size in bytes, whatever is announced
	doubling      = 2 << 20    // a buffer's size in bytes from which on it is no more than doubled
)

var pools [sizes]sync.Pool

// takeBuffer returns an empty buffer with room for at least n bytes.
func takeBuffer(n int) []byte {
	class := bufferClass(n)
	if class >= len(pools) {
		return make([]byte, 0, n)
	}
	if b, ok := pools[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, classSize(class))
}

// giveBuffer keeps a buffer for later. Nothing may use it any more.
func giveBuffer(b []byte) {
	class := bufferClass(cap(b))
	if class < len(pools) && cap(b) == classSize(class) {
		pools[class].Put(&b)
	}
}

// bufferClass is the class of the smallest buffers with room for n bytes.
func bufferClass(n int) int {
	if n <= 1<<smallestShift {
		return 0
	}
	shift := bits.Len(uint(n-1)) - 1 // n-1 is in [1<<shift, 2<<shift), of which each quarter is a class
	return 4*(shift-smallestShift) + (n-1)>>(shift-2)&3 + 1
}

// classSize is the size of a class's buffers in bytes.
func classSize(class int) int {
	if class == 0 {
		return 1 << smallestShift
	}
	quarter := 1 << ((class-1)/4 + smallestShift - 2)
	return quarter * (5 + (class-1)%4)
}

// fitted moves what is in a buffer to a smaller one where more than half of it is empty.
func fitted(b []byte) []byte {
	if classSize(bufferClass(len(b))) > cap(b)/2 {
		return b
	}
	smaller := append(takeBuffer(len(b)), b...)
	giveBuffer(b)
	return smaller
}

// nextRoom is the size of the buffer that follows one of have bytes, or of the first one (0), on the way to one of the
// bytes that are expected. The way is such that the bytes copied are a third of a body's, for the largest up to all.
func nextRoom(have, expected int) int {
	if have >= expected {
		return 2 * have
	}
	for {
		before := (expected + 3) / 4
		if expected > doubling {
			before = (expected + 1) / 2
		}
		if before <= have || have == 0 && expected <= smallRoom {
			return expected
		}
		expected = before
	}
}

// readAll reads r to its end into a pooled buffer that grows, as bytes arrive, up to hint bytes and beyond. On an error
// the buffer has been given back.
func readAll(r io.Reader, hint int) ([]byte, error) {
	hint++ // so that the end is seen without growing
	b := takeBuffer(nextRoom(0, hint))
	for {
		if len(b) == cap(b) {
			larger := append(takeBuffer(nextRoom(cap(b), hint)), b...)
			giveBuffer(b)
			b = larger
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			giveBuffer(b)
			return nil, err
		}
	}
}
