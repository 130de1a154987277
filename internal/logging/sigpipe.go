package logging

import (
	"os"
	"os/signal"
	"syscall"
)

// SurviveSIGPIPE lets the process go on when whoever reads its standard output or standard error ends: a write to either
// then fails with EPIPE, as a write to any other file does. Without it Go ends the process, as it should end a command
// whose output is piped into head. It also covers C code that writes to them, on any thread (os/signal, "SIGPIPE" and "Go
// programs that use cgo or SWIG"). Unlike ignoring the signal, this is not inherited by child processes.
func SurviveSIGPIPE() {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // nobody reads it: what does not fit is dropped
}
