// Command serve answers pictures over HTTP with the models of a repository. It holds no logic of its own: flags,
// environment and file become one configuration, and the packages do the rest.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(exitCode(err))
	}
}

// exitConfiguration is EX_CONFIG of sysexits.h: the configuration or a required model is at fault, and starting again
// does not mend it.
const exitConfiguration = 78

// unusable is an error of that kind.
type unusable struct{ error }

func (u unusable) Unwrap() error { return u.error }

func exitCode(err error) int {
	if errors.As(err, &unusable{}) {
		return exitConfiguration
	}
	return 1
}

// run is the program: it returns when it is over, with an error unless all went well.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}
