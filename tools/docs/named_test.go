package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

var (
	madeCommand = regexp.MustCompile("(?m)(?:^\\s*|`|&& )(?:[A-Z_]+=\\S+ )?make ((?:[a-z0-9-]+ ?)+)")
	madeTarget  = regexp.MustCompile(`(?m)^([a-z0-9-]+):[^=]`)
	testCommand = regexp.MustCompile(`(?m)\bgo test (.*) (\./\S+)`)
	programLine = regexp.MustCompile(`(?m)^\s*(?:bin/)?(serve|supervise|loadtest) (.*(?:\\\n.*)*)`)
	programFlag = regexp.MustCompile(`(?:^|\s)(--[a-z][\w.-]*)`)
	testFlag    = regexp.MustCompile(`-(run|bench|fuzz) '?([^\s']+)'?`)
)

// missingTargets are those of make that a text names and the Makefile does not have.
func missingTargets(text, makefiles string) (list []string) {
	has := map[string]bool{}
	for _, m := range madeTarget.FindAllStringSubmatch(makefiles, -1) {
		has[m[1]] = true
	}
	for _, m := range madeCommand.FindAllStringSubmatch(text, -1) {
		for target := range strings.FieldsSeq(m[1]) {
			if !has[target] {
				list = append(list, target)
			}
		}
	}
	return list
}

// missingTests are the tests, benchmarks and fuzz targets that commands of a text name and the folders do not have.
func missingTests(root, text string) (list []string, err error) {
	for _, command := range testCommand.FindAllStringSubmatch(text, -1) {
		files, err := filepath.Glob(filepath.Join(root, command[2], "*_test.go"))
		if err != nil {
			return nil, err
		}
		source := ""
		for _, name := range files {
			part, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			source += string(part)
		}
		for _, flag := range testFlag.FindAllStringSubmatch(command[1], -1) {
			kind := map[string]string{"run": "Test", "bench": "Benchmark", "fuzz": "Fuzz"}[flag[1]]
			named, err := regexp.Compile(flag[2])
			if err != nil {
				return nil, err
			}
			found := flag[2] == "^$" // nothing, on purpose
			for _, f := range regexp.MustCompile(`(?m)^func (`+kind+`\w*)\(`).FindAllStringSubmatch(source, -1) {
				found = found || named.MatchString(f[1])
			}
			if !found {
				list = append(list, fmt.Sprintf("%s has no %s", command[2], flag[2]))
			}
		}
	}
	return list, nil
}

// missingFlags are those of Fovea's programs that commands name and the programs' references do not have.
func missingFlags(commands string, references map[string]string) (list []string) {
	for _, line := range programLine.FindAllStringSubmatch(commands, -1) {
		for _, flag := range programFlag.FindAllStringSubmatch(line[2], -1) {
			name := flag[1]
			if strings.Contains(name, ".") { // a key of the configuration
				name = "`" + strings.TrimPrefix(name, "--")
			}
			if !regexp.MustCompile(regexp.QuoteMeta(name) + `\b`).MatchString(references[line[1]]) {
				list = append(list, line[1]+" "+flag[1])
			}
		}
	}
	return list
}

// TestFlagsInCommandsExist looks for the flags of Fovea's programs in their references, also of commands that no test runs.
func TestFlagsInCommandsExist(t *testing.T) {
	root := testenv.Root(t)
	references := map[string]string{}
	for _, name := range []string{"serve", "supervise", "loadtest"} {
		references[name] = read(t, filepath.Join(root, "docs", "reference"), name+".md")
	}
	list, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, page := range list {
		for _, b := range page {
			if !b.isCommands() {
				continue
			}
			commands += len(programLine.FindAllString(b.text, -1))
			for _, missing := range missingFlags(b.text, references) {
				t.Errorf("%s: %s does not exist", b, missing)
			}
		}
	}
	if commands < 50 {
		t.Errorf("only %d commands were found", commands)
	}
	got := missingFlags("bin/serve --http.addres=x \\\n  --json\nloadtest --server x --sever\necho --none\n", references)
	if strings.Join(got, ", ") != "serve --http.addres, loadtest --sever" {
		t.Errorf("%q", got)
	}
}

// TestNamesInCommandsExist looks for what pages name, also in commands that no test runs: targets of make, and tests.
func TestNamesInCommandsExist(t *testing.T) {
	root := testenv.Root(t)
	makefiles := ""
	files, err := filepath.Glob(filepath.Join(root, "deploy", "*.mk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, filepath.Join(root, "Makefile")) {
		makefiles += read(t, filepath.Dir(name), filepath.Base(name))
	}
	list, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	made, tests := 0, 0
	for _, page := range list {
		if len(page) == 0 {
			continue
		}
		text := read(t, root, page[0].page)
		made += len(madeCommand.FindAllString(text, -1))
		for _, target := range missingTargets(text, makefiles) {
			t.Errorf("%s: there is no make %s", page[0].page, target)
		}
		for _, b := range page {
			missing, err := missingTests(root, b.text)
			if err != nil {
				t.Fatal(err)
			}
			tests += len(testCommand.FindAllString(b.text, -1))
			for _, what := range missing {
				t.Errorf("%s: %s", b, what)
			}
		}
	}
	if made < 30 || tests < 4 {
		t.Errorf("only %d commands of make and %d of go test were found", made, tests)
	}
	if got := missingTargets("`make nothing`, and\nVERSION=1 make setup nowhere ARGS=x\n", "setup:\n\techo\n"); strings.Join(got, " ") != "nothing nowhere" {
		t.Errorf("%q", got)
	}
	for text, want := range map[string]int{
		"go test -run TestNamesInCommandsExist ./tools/docs": 0,
		"go test -run TestNothing ./tools/docs":              1,
		"go test -run '^$' -bench Everything ./tools/docs":   1,
		"go test -run '^$' -fuzz FuzzX ./tools/none":         1,
	} {
		if got, err := missingTests(root, text); err != nil || len(got) != want {
			t.Errorf("%s: %q %v", text, got, err)
		}
	}
}
