// Command supervise keeps replicas of the server alive on this machine, behind one address. It holds no logic of its
// own: package fleet decides, packages docker and gpu do.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"fovea/internal/exitcode"
	"fovea/internal/logging"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		logging.Final(os.Stderr, "supervise:", err)
		os.Exit(exitcode.Of(err))
	}
}

// run is the program: it returns when it is over, with an error unless all went well.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
