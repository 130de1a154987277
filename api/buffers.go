package api

import (
	"errors"
	"io"
	"math/bits"
	"sync"
)

// Buffers for pictures come in powers of two from 4 KiB to 16 MiB, one pool each. Larger ones are not kept.
const (
	smallestShift = 12
	largestShift  = 24
)

var pools [largestShift - smallestShift + 1]sync.Pool

// takeBuffer returns an empty buffer with room for at least n bytes.
func takeBuffer(n int) []byte {
	class := bufferClass(n)
	if class >= len(pools) {
		return make([]byte, 0, n)
	}
	if b, ok := pools[class].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 1<<(class+smallestShift))
}

// giveBuffer keeps a buffer for later. Nothing may use it any more.
func giveBuffer(b []byte) {
	class := bufferClass(cap(b))
	if class < len(pools) && cap(b) == 1<<(class+smallestShift) {
		pools[class].Put(&b)
	}
}

func bufferClass(n int) int {
	return max(0, bits.Len(uint(max(n, 1)-1))-smallestShift)
}

// readAll reads r to its end into a pooled buffer that starts with room for hint bytes. On an error the buffer
// has been given back.
func readAll(r io.Reader, hint int) ([]byte, error) {
	b := takeBuffer(hint + 1) // one more, so that the end is seen without growing
	for {
		if len(b) == cap(b) {
			larger := append(takeBuffer(2*cap(b)), b...)
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
