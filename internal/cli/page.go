package cli

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// option is a flag, as documentation shows it.
type option struct {
	Names   string // such as -o, --output string
	Help    string
	Default string // empty: that of the type
}

// optionsOf lists the flags that a command defines itself, without --help.
func optionsOf(c *cobra.Command) (list []option) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, help := pflag.UnquoteUsage(f)
		o := option{Names: "--" + f.Name, Help: help, Default: f.DefValue}
		if f.Shorthand != "" {
			o.Names = "-" + f.Shorthand + ", " + o.Names
		}
		if value != "" {
			o.Names += " " + value
		}
		if slices.Contains([]string{"", "0", "0s", "false", "[]"}, f.DefValue) {
			o.Default = ""
		}
		list = append(list, o)
	})
	return list
}

// commandsBelow lists those that are shown.
func commandsBelow(c *cobra.Command) (list []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, sub)
		}
	}
	return list
}

// commandsWith lists the commands that define a flag of that name.
func commandsWith(root *cobra.Command, flag string) (list []*cobra.Command) {
	each(root, func(c *cobra.Command) {
		if c.LocalFlags().Lookup(flag) != nil {
			list = append(list, c)
		}
	})
	return list
}

// description is the long text of a command.
func description(c *cobra.Command) string {
	return strings.TrimSpace(cmp.Or(c.Long, c.Short))
}

// paragraphs splits a text at empty lines. Lines that begin with a space stay as they are, others are joined.
func paragraphs(text string) (list []string) {
	for part := range strings.SplitSeq(text, "\n\n") {
		if strings.HasPrefix(part, " ") {
			list = append(list, part)
			continue
		}
		list = append(list, strings.Join(strings.Fields(part), " "))
	}
	return list
}

// examples are the lines of a command's examples.
func examples(c *cobra.Command) (list []string) {
	for line := range strings.SplitSeq(c.Example, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
