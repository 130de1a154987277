// Command loadtest measures an image server: throughput, latency, and what the server and the GPUs do meanwhile. It turns
// flags into a configuration; package loadtest does the rest.
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"fovea/internal/cli"
	"fovea/internal/logging"
)

// Exit statuses other than 0.
const (
	exitMissed = 1 // a threshold was missed
	exitFailed = 2 // usage error, or the test could not run
)

func main() {
	ctx, stop := cli.WithSignals(context.Background())
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// errMissed: a threshold was missed.
var errMissed = errors.New("thresholds were missed")

// run is the program: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	logging.Final(stderr, "loadtest:", err)
	if errors.Is(err, errMissed) {
		return exitMissed
	}
	return exitFailed
}
