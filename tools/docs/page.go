// Package docs runs the commands of the documentation. Each block of commands has a marker in the line above it, which says what runs it:
//
//	<!-- run -->                                       this package's test, which wants exit status 0
//	<!-- run: server URL -->                           the same, in the background, until URL answers or the page ends
//	<!-- run: bin/loadtest --window=1s -->             the same; lines that begin with bin/loadtest - get these flags as well
//	<!-- run by: FOLDER TEST -->                       another test, which reads the page
//	<!-- not run: REASON -->                           nothing
//
// <!-- answer --> above another block says that the commands before it print what it shows, apart from numbers and …
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// block is a fenced block of a page.
type block struct {
	page     string // path in the repository
	line     int    // of the fence, from 1
	language string
	marker   string // what is between <!-- and --> in the line above; empty: none
	text     string
}

func (b block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// isCommands reports whether a block needs a marker.
func (b block) isCommands() bool {
	return b.language == "sh" || b.language == "bash" || b.language == "shell" || b.language == "console"
}

var marker = regexp.MustCompile(`^<!-- ((?:run|not run|answer)\b.*) -->$`)

// blocks returns the fenced blocks of a page. Fences in lists are indented.
func blocks(page, text string) (list []block) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		opening := strings.TrimSpace(lines[i])
		if !strings.HasPrefix(opening, "```") {
			continue
		}
		b := block{page: page, line: i + 1, language: strings.TrimLeft(opening, "`")}
		if i > 0 {
			if m := marker.FindStringSubmatch(strings.TrimSpace(lines[i-1])); m != nil {
				b.marker = m[1]
			}
		}
		indent := len(lines[i]) - len(strings.TrimLeft(lines[i], " "))
		closing := opening[:len(opening)-len(b.language)]
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != closing; i++ {
			b.text += lines[i][min(indent, len(lines[i])):] + "\n"
		}
		list = append(list, b)
	}
	return list
}

// pages reads all pages with commands: those of docs/ and of the folders above.
func pages(root string) (list [][]block, err error) {
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "deploy/README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range found {
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return nil, err
			}
			names = append(names, rel)
		}
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return nil, err
		}
		list = append(list, blocks(name, string(text)))
	}
	return list, nil
}

// problem says what is wrong with a block's marker; empty if nothing is.
func problem(root string, b block) string {
	kind, argument, _ := strings.Cut(b.marker, ": ")
	switch {
	case !b.isCommands():
		if b.marker != "" && b.marker != "answer" {
			return "only blocks of commands are run, in the language sh"
		}
		return ""
	case kind == "run" && (argument == "" || strings.HasPrefix(argument, "bin/") || strings.HasPrefix(argument, "server http")):
		return ""
	case kind == "not run" && len(strings.Fields(argument)) >= 2:
		return ""
	case kind == "run by":
		return missing(root, b.page, argument)
	}
	return "nothing runs these commands: there is no marker above them, such as <!-- run -->, or it is not understood"
}

// missing says why a test that is said to run a page's commands does not; empty if it does.
func missing(root, page, argument string) string {
	folder, test, _ := strings.Cut(argument, " ")
	files, err := filepath.Glob(filepath.Join(root, folder, "*test*"))
	if err != nil {
		return err.Error()
	}
	name := regexp.MustCompile(`\b(func |def )` + regexp.QuoteMeta(test) + `\b`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && name.Match(text) && strings.Contains(string(text), filepath.Base(page)) {
			return ""
		}
	}
	return fmt.Sprintf("no test %s in %s reads %s", test, folder, page)
}
