// Command serve is the inference server: it serves predictions for images over HTTP from a model repository.
package main

import (
	"context"
	"io"
	"os"

	"fovea/internal/cli"
	"fovea/internal/exitcode"
	"fovea/internal/logging"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		logging.Final(os.Stderr, "serve:", cli.Message(err))
		os.Exit(exitcode.Of(err))
	}
}

// run executes the command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
