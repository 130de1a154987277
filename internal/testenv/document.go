package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Generated compares the part of a document of the repository between the comments <!-- NAME: generated --> and <!-- NAME: end --> with
// what it is generated from. update writes it instead.
func Generated(t testing.TB, document, name, want string, update bool) {
	t.Helper()
	path := filepath.Join(Root(t), document)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+": generated -->\n", "<!-- "+name+": end -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no %s", document, begin)
	}
	want = "\n" + want + "\n"
	if got == want {
		return
	}
	if !update {
		t.Errorf("%s: %s is not what the code says (go test -update writes it)", document, name)
		return
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
