package bulk

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResumeKeepsWholeLinesWithPredictions(t *testing.T) {
	const a, b = `{"image":"a.jpg","model":"m","version":"1","prediction":{"top":[]}}` + "\n", `{"image":"b.jpg","model":"m","version":"1","prediction":{}}` + "\n"
	failed := `{"image":"c.jpg","error":"broken","code":"undecodable"}` + "\n"
	path := filepath.Join(t.TempDir(), "seen.jsonl")
	for name, c := range map[string]struct{ before, kept, done string }{
		"all lines":                 {a + b, a + b, "a.jpg b.jpg"},
		"a failure":                 {a + failed + b, a + b, "a.jpg b.jpg"},
		"a line that is not whole":  {a + b[:20], a, "a.jpg"},
		"a line without its end":    {a + strings.TrimSuffix(b, "\n"), a, "a.jpg"},
		"an empty line":             {a + "\n" + b, a + b, "a.jpg b.jpg"},
		"nothing":                   {"", "", ""},
		"no file":                   {"-", "", ""},
		"a failure that comes last": {a + failed, a, "a.jpg"},
	} {
		_ = os.Remove(path)
		if c.before != "-" {
			if err := os.WriteFile(path, []byte(c.before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, before, err := Resume(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := file.WriteString("more\n"); err != nil {
			t.Fatal(err)
		}
		_ = file.Close()
		if got, err := os.ReadFile(path); err != nil || string(got) != c.kept+"more\n" {
			t.Errorf("%s: %q %v", name, got, err)
		}
		var left []string
		for _, in := range before.Rest([]Input{{Name: "a.jpg"}, {Name: "b.jpg"}, {Name: "c.jpg"}}) {
			left = append(left, in.Name)
		}
		for _, image := range strings.Fields("a.jpg b.jpg c.jpg") {
			if done := strings.Contains(c.done, image); done == strings.Contains(strings.Join(left, " "), image) || done != before.Done[image] {
				t.Errorf("%s: %s is done: %t; left %q", name, image, done, left)
			}
		}
		if c.done != "" && (before.Model != "m" || before.Version != "1") {
			t.Errorf("%s: %+v", name, before)
		}
	}
}

func TestResumeKnowsNamesThatAreNotUTF8(t *testing.T) {
	names := []string{"a\xff.jpg", "a\xfe.jpg", "a\ufffd.jpg", "ä.jpg"}
	path := filepath.Join(t.TempDir(), "seen.jsonl")
	for done := range len(names) + 1 {
		file, before, err := Resume(path)
		if err != nil {
			t.Fatal(err)
		}
		var inputs []Input
		for _, name := range names {
			inputs = append(inputs, Input{Name: name})
		}
		rest := before.Rest(inputs)
		if len(rest) != len(names)-done || len(rest) > 0 && rest[0].Name != names[done] {
			t.Fatalf("after %d: %q", done, rest)
		}
		if len(rest) > 0 {
			if err := NewJSONLines(file).Write(Result{Image: rest[0].Name, Answer: &Answer{Model: "m", Version: "1", JSON: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
		}
		_ = file.Close()
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), `"image_bytes":`) != 2 || !strings.Contains(string(text), `{"image":"a\ufffd.jpg","image_bytes":"Yf8uanBn",`) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestResumeRefusesOtherFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "notes.txt")
	const text = "my notes\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Resume(path); err == nil || !strings.Contains(err.Error(), "line 1 is not one of") {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != text {
		t.Errorf("the file is changed: %q %v", got, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%v", left)
	}
}
