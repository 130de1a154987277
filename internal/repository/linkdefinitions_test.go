package repository

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// writeFiles writes files below a folder.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const linkedDefinition = "task: classification\nlabels: labels.txt\ninput: {scale: 1}\noutput: {decode: softmax}\n"

// TestLinkedDefinitionsFollowTheirFolder: the definitions are those of a ConfigMap, whose link ..data is switched.
func TestLinkedDefinitionsFollowTheirFolder(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		".definitions/..1/one/model.yaml": linkedDefinition, ".definitions/..1/one/labels.txt": "a\n",
		".definitions/..2/one/model.yaml": linkedDefinition, ".definitions/..2/one/labels.txt": "b\n",
	})
	for link, target := range map[string]string{".definitions/..data": "..1", ".definitions/one": "..data/one"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // also when a container starts again
		names, err := LinkDefinitions(dir, ".definitions")
		if err != nil || !reflect.DeepEqual(names, []string{"one"}) {
			t.Fatalf("%q, %v", names, err)
		}
	}
	labels := func() []string {
		d, err := ReadDefinition(dir, "one")
		if err != nil {
			t.Fatal(err)
		}
		return d.Labels
	}
	if got := labels(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("labels %q", got)
	}
	next := filepath.Join(dir, ".definitions/..next")
	if err := os.Symlink("..2", next); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(dir, ".definitions/..data")); err != nil {
		t.Fatal(err)
	}
	if got := labels(); !reflect.DeepEqual(got, []string{"b"}) {
		t.Errorf("labels %q after the switch", got)
	}
}

func TestLinkDefinitionsRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		files       map[string]string
		definitions string
		want        string
	}{
		"a folder that would be a model":   {map[string]string{"definitions/a/model.yaml": ""}, "definitions", "begin with a dot"},
		"a folder outside":                 {nil, "../.x", "begin with a dot"},
		"the repository itself":            {nil, ".", "begin with a dot"},
		"a folder that does not exist":     {nil, ".definitions", "no such file"},
		"a name that no model can have":    {map[string]string{".d/a b/model.yaml": ""}, ".d", "not a valid model name"},
		"a model with its own definition":  {map[string]string{".d/a/model.yaml": "", "a/model.yaml": ""}, ".d", "is there already"},
		"a file in the place of the model": {map[string]string{".d/a/model.yaml": "", "a": ""}, ".d", "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, test.files)
			if _, err := LinkDefinitions(dir, test.definitions); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
		})
	}
}
