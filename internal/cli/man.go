package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func (p Program) manCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "man FOLDER",
		Short:   "Write the man pages to a folder, one for each command",
		Example: "  " + p.Root.Name() + " man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.WriteMan(args[0])
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	return c
}

// WriteMan writes a man page of section 1 for each command.
func (p Program) WriteMan(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var failed error
	each(p.Root, func(c *cobra.Command) {
		if failed == nil {
			failed = os.WriteFile(filepath.Join(dir, pageName(c)+".1"), []byte(p.Man(c)), 0o644)
		}
	})
	return failed
}

// pageName is that of a command's man page, as git names them.
func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// Man returns the man page of a command, as man(7) has it.
func (p Program) Man(c *cobra.Command) string {
	m := &roff{}
	m.line(`.TH "%s" "1" "" "Fovea %s" "Fovea"`, strings.ToUpper(pageName(c)), p.Root.Version)
	m.section("NAME")
	m.text(pageName(c) + " - " + c.Short)
	m.section("SYNOPSIS")
	m.line(".B %s", escape(strings.TrimSuffix(c.UseLine(), " [flags]")))
	if c.HasAvailableFlags() {
		m.line("[\\fIflags\\fR]")
	}
	m.section("DESCRIPTION")
	m.paragraphs(description(c))
	if list := commandsBelow(c); len(list) > 0 {
		m.section("COMMANDS")
		for _, sub := range list {
			m.item(sub.CommandPath(), sub.Short)
		}
	}
	if list := optionsOf(c); len(list) > 0 {
		m.section("OPTIONS")
		for _, o := range list {
			help := o.Help
			if o.Default != "" {
				help += " (default: " + o.Default + ")"
			}
			m.item(o.Names, help)
		}
	}
	if c.HasInheritedFlags() {
		m.line(".P")
		m.text("The options of " + p.Root.Name() + "(1) apply as well.")
	}
	if list := examples(c); len(list) > 0 {
		m.section("EXAMPLES")
		for _, line := range list {
			m.line(".P\n.EX")
			m.text(line)
			m.line(".EE")
		}
	}
	p.common(m, c)
	return m.String()
}

// common writes what all pages have in the end.
func (p Program) common(m *roff, c *cobra.Command) {
	m.section("EXIT STATUS")
	for _, s := range p.Statuses {
		m.item(fmt.Sprint(s.Code), s.Meaning)
	}
	if len(p.Environment) > 0 {
		m.section("ENVIRONMENT")
		for _, v := range p.Environment {
			m.item(v.Name, v.Meaning)
		}
	}
	var others []string
	each(p.Root, func(other *cobra.Command) {
		if other != c {
			others = append(others, `\fB`+escape(pageName(other))+`\fR(1)`)
		}
	})
	if len(others) > 0 {
		m.section("SEE ALSO")
		m.line("%s", strings.Join(others, ",\n"))
	}
}

// roff is a page that is being written.
type roff struct{ strings.Builder }

func (m *roff) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

func (m *roff) section(name string) { m.line(".SH %s", name) }

// text writes a line that is no request.
func (m *roff) text(line string) { m.line("%s", escape(line)) }

func (m *roff) paragraphs(text string) {
	for _, part := range paragraphs(text) {
		m.line(".P")
		if strings.HasPrefix(part, " ") {
			m.line(".EX")
			for line := range strings.SplitSeq(part, "\n") {
				m.text(line)
			}
			m.line(".EE")
			continue
		}
		m.text(part)
	}
}

// item writes a term and what it means.
func (m *roff) item(term, meaning string) {
	m.line(".TP\n.B %s", escape(term))
	m.text(meaning)
}

// escape writes text so that roff shows it: backslashes, hyphens that are minus signs, and a period or an apostrophe that begins a line,
// which would be a request.
func escape(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
