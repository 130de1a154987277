// Command supervise runs a fleet: replicas of the server on this host, behind one address. Package fleet has all of the
// logic; this package has the commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"fovea/internal/cli"
	"fovea/internal/exitcode"
	"fovea/internal/logging"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		logging.Final(os.Stderr, "supervise:", cli.Message(err))
		os.Exit(exitcode.Of(err))
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
