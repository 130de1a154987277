package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/exitcode"

	"github.com/spf13/cobra"
)

// example is a program with what documentation has to escape.
func example() Program {
	run := func(*cobra.Command, []string) error { return nil }
	root := &cobra.Command{Use: "tool", Short: "Do things", Long: "Do things.\n\n.begins with a period,\nand 'quotes' C:\\path.\n\n  a table\n  'of lines", Version: "1.2", RunE: run}
	root.PersistentFlags().String("config", "", "configuration `FILE`")
	sub := &cobra.Command{Use: "make THING…", Short: "Make a thing", Example: "  tool make -n 3\n  tool make --it's", RunE: run}
	sub.Args = cobra.ExactArgs(1)
	sub.Flags().IntP("number", "n", 2, "how many [1–9]")
	sub.Flags().Bool("json", false, "print JSON")
	hidden := &cobra.Command{Use: "secret", Short: "no", Hidden: true, RunE: run}
	root.AddCommand(sub, hidden)
	p := Program{Root: root, Statuses: []exitcode.Status{{Code: 0, Meaning: "success"}, {Code: 9, Meaning: "none | other"}}, Environment: []Variable{{"NO_COLOR", "no colors"}}}
	p.Add()
	return p
}

func TestManPages(t *testing.T) {
	p, dir := example(), filepath.Join(t.TempDir(), "man", "man1")
	if err := p.WriteMan(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 { // the root, completion, make and man
		t.Fatalf("%v %v", entries, err)
	}
	for name, want := range map[string][]string{
		"tool.1": {".TH \"TOOL\" \"1\" \"\" \"Fovea 1.2\" \"Fovea\"\n", "\n\\&.begins with a period, and 'quotes' C:\\epath.\n", ".EX\n  a table\n  'of lines\n.EE\n", "tool make\nMake a thing\n",
			"\\-\\-config FILE\nconfiguration FILE\n", "\n.B 9\nnone | other\n", "NO_COLOR\nno colors\n", `\fBtool\-make\fR(1)`},
		"tool-make.1": {"tool\\-make \\- Make a thing\n", "\\-n, \\-\\-number int\nhow many [1–9] (default: 2)\n", "tool make \\-\\-it's\n", "The options of tool(1) apply as well.\n"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range want {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: no %q in\n%s", name, part, text)
			}
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".begins") {
				t.Errorf("%s: a request: %q", name, line)
			}
		}
		if strings.Contains(string(text), "secret") {
			t.Errorf("%s: a hidden command", name)
		}
		if _, err := exec.LookPath("groff"); err != nil {
			continue
		}
		out, err := exec.Command("groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-z", filepath.Join(dir, name)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("groff %s: %v\n%s", name, err, out)
		}
	}
}

func TestErrorsAboutArgumentsSayTheUsage(t *testing.T) {
	for args, want := range map[string]string{
		"make":     "accepts 1 arg(s), received 0; usage: tool make THING… [flags]",
		"make a b": "accepts 1 arg(s), received 2; usage: tool make THING… [flags]",
		"make a":   "",
	} {
		root := example().Root
		root.SilenceErrors, root.SilenceUsage = true, true
		root.SetArgs(strings.Fields(args))
		if err := root.Execute(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestTablesForDocuments(t *testing.T) {
	p := example()
	if got, want := p.StatusTable(), "| exit status of tool | |\n|---|---|\n| 0 | success |\n| 9 | none | other |\n"; got != want {
		t.Errorf("%q", got)
	}
	if got, want := p.JSONTable(), "| JSON of tool | |\n|---|---|\n| `tool make --json` | print JSON |\n"; got != want {
		t.Errorf("%q", got)
	}
}

func TestCompletionScriptsOfTheProgram(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		root := example().Root
		root.SetArgs([]string{"completion", shell})
		root.SetOut(&out)
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), "tool") || out.Len() < 1000 {
			t.Errorf("%s: %v, %d bytes", shell, err, out.Len())
		}
	}
	var out bytes.Buffer
	if err := JSON(&out, map[string]string{"a": "<&>"}); err != nil || out.String() != "{\n  \"a\": \"<&>\"\n}\n" {
		t.Errorf("%v %q", err, out.String())
	}
}
