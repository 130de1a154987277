// Package reference writes the parts of docs/ that follow from the code: keys, commands, metrics and the HTTP API. The tests of the
// packages that have these call it, and compare; `make reference` has them write instead.
package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// update is the variable that has Check write what it would compare.
const update = "FOVEA_TEST_UPDATE_REFERENCE"

// Check compares the block NAME of a page below docs/ with what follows from the code, and fails if they differ. A block is between
// <!-- generated: NAME --> and <!-- end -->; the rest of the page is written by hand.
func Check(t testing.TB, page, name, want string) {
	t.Helper()
	file := filepath.Join(testenv.Root(t), "docs", page)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := replace(string(text), name, want)
	if err != nil {
		t.Fatalf("docs/%s: %v", page, err)
	}
	if changed == string(text) {
		return
	}
	if os.Getenv(update) == "" {
		t.Fatalf("docs/%s: %s is not what the code says; run make reference.\n%s", page, name, firstDifference(string(text), changed))
	}
	if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace returns a page with a new content of a block.
func replace(text, name, content string) (string, error) {
	begin := "<!-- generated: " + name + " -->\n"
	const end = "<!-- end -->\n"
	before, rest, found := strings.Cut(text, begin)
	if !found {
		return "", fmt.Errorf("there is no %q", strings.TrimSpace(begin))
	}
	_, after, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("the block %s has no %q", name, strings.TrimSpace(end))
	}
	return before + begin + "\n" + strings.TrimSpace(content) + "\n\n" + end + after, nil
}

// firstDifference returns the first lines that differ.
func firstDifference(a, b string) string {
	is, want := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(is), len(want)) {
		x, y := "", ""
		if i < len(is) {
			x = is[i]
		}
		if i < len(want) {
			y = want[i]
		}
		if x != y {
			return fmt.Sprintf("line %d\n is   %s\n want %s", i+1, x, y)
		}
	}
	return ""
}

// spaces are what a cell of a table cannot have as it is.
var spaces = regexp.MustCompile(`\s+`)

// cell returns text as it may stand in a cell of a Markdown table.
func cell(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(spaces.ReplaceAllString(text, " ")), "|", "\\|")
}

// code returns text as code in a cell; nothing for empty text.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + cell(text) + "`"
}

// table writes a table, and a blank line.
func table(b *strings.Builder, rows [][]string, header ...string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n")
}
