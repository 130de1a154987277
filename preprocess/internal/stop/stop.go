// Package stop signals the end of a context to C code, so that decoders can be canceled.
package stop

import (
	"context"
	"sync/atomic"
	"unsafe"
)

// Flag is an int32 that becomes 1 once its context has ended. C code reads it at its address at least every millisecond.
type Flag struct {
	ended *int32 // allocated separately and without pointers, as cgo requires
	end   func() bool
}

// On returns the flag of a context. It must be released.
func On(ctx context.Context) *Flag {
	ended := new(int32)
	if ctx.Err() != nil {
		*ended = 1 // before AfterFunc's goroutine runs
	}
	return &Flag{ended, context.AfterFunc(ctx, func() { atomic.StoreInt32(ended, 1) })}
}

// Address returns the address of the int32, valid until Release.
func (f *Flag) Address() unsafe.Pointer { return unsafe.Pointer(f.ended) }

// Release stops watching the context.
func (f *Flag) Release() { f.end() }
