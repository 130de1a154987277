package api

import (
	"errors"
	"io"
	"math/bits"
	"sync"
)

// Image buffers are pooled in size classes from 4 KiB to 20 MiB, four per doubling. Larger buffers are not pooled.
const (
	minShift     = 12
	classes      = 4*12 + 2
	initialSize  = 32<<10 - 1 // expected of a body of unknown length, in bytes; readAll adds one
	smallSize    = 16 << 10   // maximum of a buffer's initial size in bytes, whatever length is announced
	doublingSize = 2 << 20    // buffers above this size in bytes are at most doubled
)

var pools [classes]sync.Pool

// getBuffer returns an empty buffer with a capacity of at least n bytes.
func getBuffer(n int) []byte {
	class := bufferClass(n)
	if class >= len(pools) {
		return make([]byte, 0, n)
	}
	if b, ok := pools[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, classSize(class))
}

// putBuffer returns a buffer to its pool. It must no longer be used.
func putBuffer(b []byte) {
	class := bufferClass(cap(b))
	if class < len(pools) && cap(b) == classSize(class) {
		pools[class].Put(&b)
	}
}

// bufferClass returns the class of the smallest buffers with a capacity of n bytes.
func bufferClass(n int) int {
	if n <= 1<<minShift {
		return 0
	}
	shift := bits.Len(uint(n-1)) - 1 // n-1 is in [1<<shift, 2<<shift), of which each quarter is a class
	return 4*(shift-minShift) + (n-1)>>(shift-2)&3 + 1
}

// classSize returns the capacity in bytes of a class's buffers.
func classSize(class int) int {
	if class == 0 {
		return 1 << minShift
	}
	quarter := 1 << ((class-1)/4 + minShift - 2)
	return quarter * (5 + (class-1)%4)
}

// shrink moves the content of a buffer that is more than half empty to a smaller one.
func shrink(b []byte) []byte {
	if classSize(bufferClass(len(b))) > cap(b)/2 {
		return b
	}
	smaller := append(getBuffer(len(b)), b...)
	putBuffer(b)
	return smaller
}

// nextSize returns the size of the buffer after one of have bytes (0: none) while a body of expected bytes arrives. In total,
// growing copies a third of a body's bytes, and of the largest up to all.
func nextSize(have, expected int) int {
	if have >= expected {
		return 2 * have
	}
	for {
		before := (expected + 3) / 4
		if expected > doublingSize {
			before = (expected + 1) / 2
		}
		if before <= have || have == 0 && expected <= smallSize {
			return expected
		}
		expected = before
	}
}

// readAll reads r to its end into a pooled buffer that grows with the bytes that arrive. hint is the expected length.
func readAll(r io.Reader, hint int) ([]byte, error) {
	hint++ // so that EOF is seen without growing
	size := nextSize
	if b, ok := r.(*body); ok {
		size = b.size
	}
	b := getBuffer(size(0, hint))
	for {
		if len(b) == cap(b) {
			larger := append(getBuffer(size(cap(b), hint)), b...)
			putBuffer(b)
			b = larger
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			putBuffer(b)
			return nil, err
		}
	}
}
