package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Reference returns the program's part of the reference in Markdown, with headings of level 2 for the program and of level 3 for its
// commands.
func (p Program) Reference() string {
	var b strings.Builder
	each(p.Root, func(c *cobra.Command) {
		level := "###"
		if c == p.Root {
			level = "##"
		}
		fmt.Fprintf(&b, "%s %s\n\n", level, c.CommandPath())
		fmt.Fprintf(&b, "```\n%s\n```\n\n", c.UseLine())
		for _, part := range paragraphs(description(c)) {
			if strings.HasPrefix(part, " ") {
				part = "```\n" + part + "\n```"
			} else {
				part = plain(part)
			}
			b.WriteString(part + "\n\n")
		}
		if list := examples(c); len(list) > 0 {
			fmt.Fprintf(&b, "Examples:\n\n```\n%s\n```\n\n", strings.Join(list, "\n"))
		}
		if list := commandsBelow(c); len(list) > 0 {
			b.WriteString("| command | |\n|---|---|\n")
			for _, sub := range list {
				fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", sub.CommandPath(), strings.ReplaceAll(sub.CommandPath(), " ", "-"), plain(sub.Short))
			}
			b.WriteString("\n")
		}
		p.options(&b, c)
		if c == p.Root {
			p.statuses(&b)
		}
	})
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func (p Program) options(b *strings.Builder, c *cobra.Command) {
	list := optionsOf(c)
	if len(list) == 0 {
		return
	}
	b.WriteString("| flag | default | |\n|---|---|---|\n")
	for _, o := range list {
		byDefault := ""
		if o.Default != "" {
			byDefault = code(o.Default)
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", code(o.Names), byDefault, plain(o.Help))
	}
	b.WriteString("\n")
}

func (p Program) statuses(b *strings.Builder) {
	b.WriteString("| exit status | |\n|---|---|\n")
	for _, s := range p.Statuses {
		fmt.Fprintf(b, "| %d | %s |\n", s.Code, plain(s.Meaning))
	}
	b.WriteString("\n")
	if len(p.Environment) == 0 {
		return
	}
	b.WriteString("| environment variable | |\n|---|---|\n")
	for _, v := range p.Environment {
		fmt.Fprintf(b, "| %s | %s |\n", code(v.Name), plain(v.Meaning))
	}
	b.WriteString("\n")
}

// plain writes text that Markdown takes as it is.
func plain(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", `\<`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "$", `\$`, "\n", " ").Replace(text)
}

// code writes text as code in a table.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }

// Between returns the part of a document between the comments that mark a program's, and the document around it; ok is false without
// these.
func Between(document, name string) (before, part, after string, ok bool) {
	begin, end := "<!-- "+name+": generated -->\n", "<!-- "+name+": end -->\n"
	before, rest, ok := strings.Cut(document, begin)
	if !ok {
		return "", "", "", false
	}
	part, after, ok = strings.Cut(rest, end)
	return before + begin, part, end + after, ok
}
