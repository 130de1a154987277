package logging

import (
	"os"
	"os/signal"
	"syscall"
)

// SurviveSIGPIPE keeps the process running when the reader of its standard output or standard error exits: a write then
// fails with EPIPE, as for any other file. By default Go ends the process, as is right for a command piped into head. It
// also covers C code that writes to them, on any thread (os/signal, "SIGPIPE" and "Go programs that use cgo or SWIG").
// Unlike ignoring the signal, this is not inherited by child processes.
func SurviveSIGPIPE() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // never read: signals that do not fit are dropped
}
