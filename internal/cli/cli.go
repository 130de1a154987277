// Package cli has what the programs' commands share: completions for shells, man pages and a reference made from the commands' own
// definitions, and JSON output.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"fovea/internal/config"
	"fovea/internal/exitcode"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Program is a program's commands and what is said of all of them.
type Program struct {
	Root        *cobra.Command
	Statuses    []exitcode.Status
	Environment []Variable
}

// Variable is an environment variable.
type Variable struct{ Name, Meaning string }

// Add adds the commands completion and man, completes flags that take one of a few words, and has errors about arguments say how a command
// is used.
func (p Program) Add() {
	p.Root.CompletionOptions.DisableDefaultCmd = true
	p.Root.AddCommand(completionCommand(p.Root), p.manCommand())
	each(p.Root, func(c *cobra.Command) {
		if check := c.Args; check != nil && !c.HasSubCommands() {
			c.Args = func(c *cobra.Command, args []string) error {
				if err := check(c, args); err != nil {
					return fmt.Errorf("%w; usage: %s", err, c.UseLine())
				}
				return nil
			}
		}
		for _, flags := range []*pflag.FlagSet{c.LocalNonPersistentFlags(), c.PersistentFlags()} {
			flags.VisitAll(func(f *pflag.Flag) {
				if words := f.Annotations[config.OneOf]; len(words) > 0 {
					Words(c, f.Name, words...)
				}
			})
		}
	})
}

// each calls do for a command and those below it that are shown, in order.
func each(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			each(sub, do)
		}
	}
}

// Words completes a flag by words.
func Words(c *cobra.Command, flag string, words ...string) {
	must(c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// Folders completes flags by folders.
func Folders(c *cobra.Command, flags ...string) {
	for _, flag := range flags {
		must(c.MarkFlagDirname(flag))
	}
}

// Files completes a flag by files with one of some endings.
func Files(c *cobra.Command, flag string, endings ...string) {
	must(c.MarkFlagFilename(flag, endings...))
}

// must panics at the start of a program whose commands are defined wrongly.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// JSON prints a value with indentation.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Message is what a program that ends with err says: a signal is called an interruption, and not by the name that Go has for it.
func Message(err error) string {
	return strings.ReplaceAll(err.Error(), context.Canceled.Error(), "interrupted")
}

// shells are those with completions, with the command that loads them.
var shells = []struct {
	name, load string
	generate   func(*cobra.Command, io.Writer) error
}{
	{"bash", "source <(%s completion bash)", func(c *cobra.Command, w io.Writer) error { return c.GenBashCompletionV2(w, true) }},
	{"zsh", "source <(%s completion zsh)", func(c *cobra.Command, w io.Writer) error { return c.GenZshCompletion(w) }},
	{"fish", "%s completion fish | source", func(c *cobra.Command, w io.Writer) error { return c.GenFishCompletion(w, true) }},
}

func completionCommand(root *cobra.Command) *cobra.Command {
	var names, examples []string
	for _, s := range shells {
		names = append(names, s.name)
		examples = append(examples, "  "+fmt.Sprintf(s.load, root.Name()))
	}
	return &cobra.Command{
		Use:   "completion " + strings.Join(names, "|"),
		Short: "Print a script that completes commands, flags and their values in a shell",
		Long: "Print a script that completes commands, flags and their values in a shell. The examples load it into a running shell; put\n" +
			"the line for yours into its startup file. bash needs the package bash-completion.",
		Example:   strings.Join(examples, "\n"),
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: names,
		RunE: func(c *cobra.Command, args []string) error {
			i := slices.Index(names, args[0])
			return shells[i].generate(root, c.OutOrStdout())
		},
	}
}
