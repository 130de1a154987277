package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMutantsOf(t *testing.T) {
	path := write(t, t.TempDir(), "a.go", `package a

import "errors"

func f(x int) (int, error) {
	if x < 5 && x != 0 {
		x++
		return 0, errors.New("small")
	}
	func() { x = x + 1 }()
	return x, nil
}
`)
	list, err := mutantsOf(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		line := strings.Split(string(m.apply(source)), "\n")[m.line-1]
		got = append(got, fmt.Sprintf("%d %s", m.line, strings.TrimSpace(line)))
	}
	slices.Sort(got)
	want := []string{
		"10 ", "10 func() {  }()", "10 func() { x = x + 2 }()", "10 func() { x = x - 1 }()",
		"6 if !(x < 5 && x != 0) {", "6 if x < 5 && x != 1 {", "6 if x < 5 && x == 0 {", "6 if x < 5 || x != 0 {", "6 if x < 6 && x != 0 {", "6 if x <= 5 && x != 0 {",
		"7 ", `8 return 0, nil`, `8 return 1, errors.New("small")`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCgoHasNoMutants(t *testing.T) {
	path := write(t, t.TempDir(), "a.go", "package a\n\nimport \"C\"\n\nvar x = 1\n")
	if list, err := mutantsOf(path); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestRun measures a package whose tests miss one boundary and hang if the loop does.
func TestRun(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	dir := t.TempDir()
	write(t, dir, "go.mod", "module a\n\ngo 1.26\n")
	write(t, dir, "a.go", `package a

func sum(n int) (s int) {
	for n > 0 {
		s += n
		n--
	}
	return s
}

func large(n int) bool { return n > 10 }
`)
	write(t, dir, "a_test.go", `package a

import "testing"

func TestA(t *testing.T) {
	if sum(4) != 10 || large(5) || !large(20) {
		t.Fail()
	}
}
`)
	var out strings.Builder
	o := options{n: 100, seed: 1, timeout: 2 * time.Second, dir: dir}
	s, err := o.measure(t.Context(), "./...", &out)
	if err != nil {
		t.Fatal(err)
	}
	if s.killed == 0 || s.survived == 0 || !strings.Contains(out.String(), "survived: a.go:11: > → >=: func large(n int) bool { return n > 10 }\n") {
		t.Errorf("%+v\n%s", s, out.String())
	}
	if strings.Contains(out.String(), "a.go:6") || strings.Contains(out.String(), "a.go:5") {
		t.Errorf("a mutant that hangs or sums wrongly survived:\n%s", out.String())
	}
	write(t, dir, "b_test.go", "package a\n\nimport \"testing\"\n\nfunc TestB(t *testing.T) { t.Fail() }\n")
	if _, err := o.measure(t.Context(), "./...", &out); err == nil || !strings.Contains(err.Error(), "without a mutant") {
		t.Errorf("failing tests were measured: %v", err)
	}
}
