package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// RepeatedSignal is how long a signal after the first one is taken for the same: timeout(1) and others signal a program and its process group,
// which reaches the program twice.
const RepeatedSignal = 500 * time.Millisecond

// WithSignals returns a context that SIGINT or SIGTERM ends. Another signal, from RepeatedSignal after the first on, ends the process
// immediately.
func WithSignals(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(RepeatedSignal, stop) })
	return ctx, stop
}
