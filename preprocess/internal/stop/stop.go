// Package stop lets C code see that a context has ended, so that a decoder can give up within a decode.
package stop

import (
	"context"
	"sync/atomic"
	"unsafe"
)

// Flag is an int32 that becomes 1 once its context has ended. C code that was given its address reads it between two
// pieces of work that take a millisecond at most.
type Flag struct {
	ended *int32 // memory of its own without pointers, as cgo wants of what C is given
	end   func() bool
}

// On returns the flag of a context. It must be released.
func On(ctx context.Context) *Flag {
	ended := new(int32)
	return &Flag{ended, context.AfterFunc(ctx, func() { atomic.StoreInt32(ended, 1) })}
}

// Address is that of the int32, valid until Release.
func (f *Flag) Address() unsafe.Pointer { return unsafe.Pointer(f.ended) }

// Release ends the watch of the context. The flag is not set after that by a context that ends later.
func (f *Flag) Release() { f.end() }
