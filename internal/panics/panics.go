// Package panics turns panics into errors, so that a defect costs one request or one load and not the process.
package panics

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Error is a recovered panic.
type Error struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error leaves out the stack, which is for the log alone: errors of loads are shown to clients.
func (e *Error) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// LogError logs err, with the stack of a panic in its tree.
func LogError(log *slog.Logger, msg string, err error) {
	if e, ok := errors.AsType[*Error](err); ok {
		log = log.With("stack", string(e.Stack))
	}
	log.Error(msg, "error", err)
}

// Catch calls f and returns a panic in it as an *Error.
func Catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Error{v, debug.Stack()}
		}
	}()
	return f()
}
