package reference

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Commands returns a section for each command of a program. Flags with a dot are keys of the configuration and left out.
func Commands(root *cobra.Command) string {
	var b strings.Builder
	writeCommand(&b, root)
	return b.String()
}

func writeCommand(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	c.DisableFlagsInUseLine = true
	fmt.Fprintf(b, "### %s\n\n%s.\n\n", c.CommandPath(), strings.TrimSuffix(c.Short, "."))
	fmt.Fprintf(b, "```text\n%s\n```\n\n", c.UseLine())
	if more := strings.TrimSpace(strings.TrimPrefix(c.Long, c.Short)); strings.Trim(more, ".") != "" {
		fmt.Fprintf(b, "```text\n%s\n```\n\n", strings.TrimSpace(strings.TrimPrefix(more, ".")))
	}
	if c.Example != "" {
		fmt.Fprintf(b, "```text\n%s\n```\n\n", c.Example)
	}
	var rows [][]string
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" || f.Name == "version" || strings.Contains(f.Name, ".") {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := f.DefValue
		if value == "false" || value == "[]" || value == "0" {
			value = ""
		}
		_, usage := pflag.UnquoteUsage(f)
		rows = append(rows, []string{code(name), code(value), cell(usage)})
	})
	if len(rows) > 0 {
		table(b, rows, "flag", "default", "meaning")
	}
	for _, sub := range c.Commands() {
		writeCommand(b, sub)
	}
}
