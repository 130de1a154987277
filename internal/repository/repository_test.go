package repository

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fovea/internal/config"
)

// write makes files under a new folder; a name that ends in a slash is a folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func numbers(versions []Version) []int {
	var n []int
	for _, v := range versions {
		n = append(n, v.Number)
	}
	return n
}

func TestNamesListsFoldersWithADefinition(t *testing.T) {
	dir := write(t, map[string]string{
		"b/model.yaml": good, "a/model.yaml": good, "empty/": "", "file.go": "", ".hidden/model.yaml": good,
		"weights-only/1/model.onnx": "x",
	})
	names, err := Open(dir).Names()
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("Names() = %v, %v; want a and b", names, err)
	}
}

func TestNamesReportsInvalidNames(t *testing.T) {
	dir := write(t, map[string]string{"a/model.yaml": good, "b c/model.yaml": good})
	names, err := Open(dir).Names()
	if !slices.Equal(names, []string{"a"}) || err == nil || !strings.Contains(err.Error(), `"b c"`) {
		t.Errorf("Names() = %v, %v", names, err)
	}
}

func TestNamesOfAMissingFolder(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")).Names(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func TestLoadFindsVersions(t *testing.T) {
	files := map[string]string{
		"m/1/model.onnx": "", "m/2/model.onnx": "", "m/10/model.onnx": "", "m/3/": "", "m/0/model.onnx": "",
		"m/04/model.onnx": "", "m/-1/model.onnx": "", "m/+5/model.onnx": "", "m/v6/model.onnx": "",
		"m/7/model.onnx/": "", "m/99999999999999999999/model.onnx": "",
	}
	for policy, want := range map[string][]int{"latest": {10}, "all": {1, 2, 10}, "[2, 1]": {1, 2}} {
		files["m/model.yaml"] = good + "versions: " + policy
		entry, err := Open(write(t, files)).Load("m")
		if err != nil {
			t.Fatal(err)
		}
		if got := numbers(entry.Versions); !slices.Equal(got, []int{1, 2, 10}) {
			t.Errorf("Versions = %v", got)
		}
		if got := numbers(entry.Serve(nil)); !slices.Equal(got, want) {
			t.Errorf("%s serves %v, want %v", policy, got, want)
		}
		if want := filepath.Join(entry.Dir, "10", "model.onnx"); entry.Versions[2].Path != want {
			t.Errorf("path %s, want %s", entry.Versions[2].Path, want)
		}
	}
}

func TestLoadWithoutWeightsServesNothing(t *testing.T) {
	entry, err := Open(write(t, map[string]string{"m/model.yaml": good + "versions: [1]"})).Load("m")
	if err != nil || len(entry.Serve(nil)) != 0 {
		t.Errorf("entry %+v, error %v", entry, err)
	}
}

func TestLoadReadsLabels(t *testing.T) {
	entry, err := Open(write(t, map[string]string{
		"m/model.yaml": good + "labels: sub/l.txt", "m/sub/l.txt": "\ufeffcat\r\ndog \ncat\n\n",
	})).Load("m")
	if err != nil || !slices.Equal(entry.Definition.Labels, []string{"cat", "dog", "cat"}) {
		t.Errorf("entry %+v, error %v", entry, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	outside := write(t, map[string]string{"labels.txt": "secret"})
	for name, c := range map[string]struct {
		model string
		files map[string]string
		want  string
	}{
		"a model that is not there":       {"n", nil, "no such model: n"},
		"a folder without definition":     {"m", map[string]string{"m/1/model.onnx": ""}, "no such model"},
		"a path for a name":               {"../m", nil, "no such model"},
		"a name with a null byte":         {"m\x00", nil, "no such model"},
		"an empty name":                   {"", nil, "no such model"},
		"the name of another folder":      {"m", map[string]string{"m/model.yaml": good + "name: n"}, `m/model.yaml:5:1: name: "n" is not the folder's name`},
		"labels that are not there":       {"m", map[string]string{"m/model.yaml": good + "labels: l.txt"}, "model.yaml:5:1: labels: l.txt: "},
		"labels that are a folder":        {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l/": ""}, "is not a regular file"},
		"labels of nothing":               {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": "\n"}, "there are no labels"},
		"labels with a gap":               {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": "a\n\nb"}, "line 2 is empty"},
		"labels that are no text":         {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": "a\n\xff\xfe"}, "line 2 is not valid UTF-8"},
		"labels with a control character": {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": "a\x1b[0m"}, "line 1 contains the control character U+001B"},
		"too many labels":                 {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": strings.Repeat("a\n", MaxLabels+1)}, "there are 100001 labels; the limit is 100000"},
		"labels too large":                {"m", map[string]string{"m/model.yaml": good + "labels: l", "m/l": strings.Repeat("a", maxLabelsFile+1)}, "is larger than"},
		"a definition too large":          {"m", map[string]string{"m/model.yaml": strings.Repeat("#", config.MaxFile+1)}, "is larger than"},
		"labels by a link that leaves":    {"m", map[string]string{"m/model.yaml": good + "labels: link/labels.txt"}, "labels: link/labels.txt: "},
		"a self-test label that is none":  {"m", map[string]string{"m/model.yaml": good + "labels: l\nself_test: {image: i, label: x}", "m/l": "a", "m/i": ""}, `self_test.label: "x" is not in l`},
		"a self-test image not there":     {"m", map[string]string{"m/model.yaml": good + "self_test: {image: i}"}, "self_test.image: i: "},
		"a version that is not there":     {"m", map[string]string{"m/model.yaml": good + "versions: [2]", "m/1/model.onnx": ""}, "versions[0]: 2/model.onnx does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, c.files)
			if err := os.MkdirAll(filepath.Join(dir, "m"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(dir, "m", "link")); err != nil {
				t.Fatal(err)
			}
			entry, err := Open(dir).Load(c.model)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("entry %+v, error %v; want %q", entry, err, c.want)
			}
			if notFound := strings.HasPrefix(c.want, "no such model"); errors.Is(err, ErrNotFound) != notFound {
				t.Errorf("wraps ErrNotFound: %v", !notFound)
			}
			if entry != nil {
				t.Error("an entry came with the error")
			}
		})
	}
}

func FuzzLabels(f *testing.F) {
	f.Add([]byte("cat\r\ndog\n\n"))
	f.Add([]byte("\ufeff\n\xff\t"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		labels, err := ParseLabels(data)
		if err == nil && (len(labels) == 0 || slices.Contains(labels, "")) {
			t.Errorf("labels %q without an error", labels)
		}
		for _, label := range labels {
			if strings.ContainsAny(label, "\n\r\x00") {
				t.Errorf("label %q", label)
			}
		}
	})
}
