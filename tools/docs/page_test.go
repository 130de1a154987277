package docs

import (
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// TestEveryCommandIsRun wants a marker above each block of commands of the documentation, and that the tests that markers name exist.
func TestEveryCommandIsRun(t *testing.T) {
	root := testenv.Root(t)
	list, err := pages(root)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, page := range list {
		for _, b := range page {
			if why := problem(root, b); why != "" {
				t.Errorf("%s: %s\n%s", b, why, b.text)
			}
			if b.isCommands() {
				kind, _, _ := strings.Cut(b.marker, ":")
				kinds[kind]++
			}
		}
	}
	if len(list) < 20 || kinds["run"] < 10 {
		t.Errorf("only %d pages with %v were found", len(list), kinds)
	}
	t.Logf("blocks of commands: %v", kinds)
}

func TestBlocks(t *testing.T) {
	text := "# A\n<!-- run -->\n```sh\na\n\nb\n```\n- x\n\n    <!-- not run: needs a GPU -->\n    ```sh\n    c\n    ```\n````json\n```\n````\n"
	want := []block{
		{"p.md", 3, "sh", "run", "a\n\nb\n"},
		{"p.md", 11, "sh", "not run: needs a GPU", "c\n"},
		{"p.md", 14, "json", "", "```\n"},
	}
	got := blocks("p.md", text)
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestProblem(t *testing.T) {
	root := testenv.Root(t)
	for _, test := range []struct {
		name, language, marker string
		valid                  bool
	}{
		{"commands that are run", "sh", "run", true},
		{"a server", "sh", "run: server http://127.0.0.1:8000/ready", true},
		{"flags for a program", "sh", "run: bin/loadtest --window=1s", true},
		{"an unknown argument", "sh", "run: sometimes", false},
		{"commands that cannot run here", "sh", "not run: needs a GPU", true},
		{"no reason", "sh", "not run", false},
		{"a reason of one word", "sh", "not run: GPU", false},
		{"no marker", "sh", "", false},
		{"no marker, in another language for commands", "bash", "", false},
		{"another language", "json", "", true},
		{"an answer", "json", "answer", true},
		{"a marker to run what is no command", "json", "run", false},
		{"a test that reads the page", "sh", "run by: cmd/serve TestClientExamples", true},
		{"a test of another page", "sh", "run by: cmd/serve TestREADMEExample", false},
		{"a test that does not exist", "sh", "run by: cmd/serve TestClientExample", false},
		{"a folder that does not exist", "sh", "run by: cmd/server TestClientExamples", false},
	} {
		b := block{page: filepath.Join("docs", "clients.md"), language: test.language, marker: test.marker}
		if got := problem(root, b); (got == "") != test.valid {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestScript(t *testing.T) {
	got := strings.TrimPrefix(script([]block{
		{marker: "run", language: "sh", text: "a\n"},
		{marker: "not run: needs a GPU", language: "sh", text: "no\n"},
		{marker: "answer", language: "json", text: "{}\n"},
		{marker: "run: server http://127.0.0.1:8000/ready", language: "sh", text: "b\n"},
		{marker: "run: bin/x -q", language: "sh", text: "bin/x -a\nbin/x sub -a\n bin/x -a\n"},
	}), prelude)
	want := `echo 0 >"$OUT/at"
exec >"$OUT/0" 2>"$OUT/0.err"
a
echo 3 >"$OUT/at"
exec >"$OUT/3" 2>"$OUT/3.err"
stop "127.0.0.1:8000"
(
b
) &
servers["127.0.0.1:8000"]=$!
await "127.0.0.1:8000" "http://127.0.0.1:8000/ready"
echo 4 >"$OUT/at"
exec >"$OUT/4" 2>"$OUT/4.err"
bin/x -q -a
bin/x sub -a
 bin/x -a
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSameAnswer(t *testing.T) {
	for _, test := range []struct {
		name, shown, printed string
		want                 bool
	}{
		{"equal", `{"a":"b"}`, `{"a":"b"}`, true},
		{"other numbers and spaces", "{\"a\": 1.5e-3,\n \"b\":[2]}\n", `{"a":-7,"b":[20.25]}`, true},
		{"another text", `{"a":"b"}`, `{"a":"c"}`, false},
		{"more", `{"a":"b"}`, `{"a":"b"}{}`, false},
		{"left out", `{"a":"…","c":"d"}`, `{"a":"b.*","c":"d"}`, true},
		{"left out, but another end", `{"a":"…","c":"d"}`, `{"a":"b","c":"e"}`, false},
		{"a pattern is text", `a.c`, `abc`, false},
	} {
		if got := sameAnswer(test.shown, test.printed); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
