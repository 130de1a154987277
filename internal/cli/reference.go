package cli

import (
	"fmt"
	"strings"
)

// StatusTable returns the program's exit statuses as a table in Markdown, for a document that a test compares with it.
func (p Program) StatusTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| exit status of %s | |\n|---|---|\n", p.Root.Name())
	for _, s := range p.Statuses {
		fmt.Fprintf(&b, "| %d | %s |\n", s.Code, s.Meaning)
	}
	return b.String()
}

// JSONTable lists, as a table in Markdown, the commands that print JSON, with the flag for it.
func (p Program) JSONTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| JSON of %s | |\n|---|---|\n", p.Root.Name())
	for _, c := range commandsWith(p.Root, "json") {
		fmt.Fprintf(&b, "| `%s --json` | %s |\n", c.CommandPath(), c.LocalFlags().Lookup("json").Usage)
	}
	return b.String()
}
