// Command serve answers images over HTTP with the models of a repository. It holds no logic of its own: flags,
// environment and file become one configuration, and the packages do the rest.
package main

import (
	"context"
	"io"
	"os"

	"fovea/internal/exitcode"
	"fovea/internal/logging"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		logging.Final(os.Stderr, "serve:", err)
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
