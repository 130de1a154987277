package gateway

import "encoding/binary"

// answers finds the messages of a response as it passes.
type answers struct {
	prefix [prefixSize]byte
	have   int    // bytes of the prefix
	left   uint32 // bytes of the message
	begun  bool   // its first byte was seen
	failed bool   // it says that its request has failed
}

// errorMessage is how a ModelStreamInferResponse begins that has an error_message: field 1, of bytes.
const errorMessage = 1<<3 | 2

// add takes the next bytes, and calls each for every message that ends in them.
func (a *answers) add(p []byte, each func(failed bool)) {
	for len(p) > 0 {
		if a.have < prefixSize {
			n := copy(a.prefix[a.have:], p)
			a.have, p = a.have+n, p[n:]
			if a.have < prefixSize {
				return
			}
			a.left, a.begun, a.failed = binary.BigEndian.Uint32(a.prefix[1:]), false, false
		}
		if !a.begun && len(p) > 0 && a.left > 0 {
			a.begun, a.failed = true, a.prefix[0] == 0 && p[0] == errorMessage
		}
		n := min(uint32(len(p)), a.left)
		a.left, p = a.left-n, p[n:]
		if a.left == 0 {
			a.have = 0
			each(a.failed)
		}
	}
}

// between reports whether no message is incomplete.
func (a *answers) between() bool { return a.have == 0 }
