package exporter

import (
	"path"
	"slices"
	"testing"

	"fovea/internal/repository"
)

// labelTexts are files of each format with the labels a, b and "c d".
var labelTexts = map[string]string{
	".txt": "a\r\nb\r\nc d\r\n", ".names": "a\nb\nc d\n", ".json": `["a", "b", "c d"]`, ".yaml": "train: x\nnc: 3\nnames:\n  0: a\n  1: b\n  2: c d\n",
	".pbtxt": "item { id: 1 name: 'a' }\nitem { id: 2 display_name: 'b' }\nitem { id: 3 name: 'c d' }",
}

func TestLabelsOfEveryUsualFileAreRead(t *testing.T) {
	for _, name := range repository.LabelFiles() {
		l := layout{model: modelOf(in("input", float, 1, 3, 224, 224), out("y", float, 1, 3)), files: map[string]string{name: labelTexts[path.Ext(name)]}}
		inferred, _, err := l.infer(t)
		if err != nil || !slices.Equal(inferred.Definition.Labels, []string{"a", "b", "c d"}) {
			t.Errorf("%s: %+v, %v", name, inferred, err)
		}
	}
}

func TestLabelsMayBeListsAndDicts(t *testing.T) {
	for ext, texts := range map[string][]string{
		".json": {`{"0": "a", "1": "b"}`, `{"a": 0, "b": 1}`, `["a", "b"]`},
		".yaml": {"names: [a, b]", "names: {0: a, 1: b}"},
	} {
		for _, text := range texts {
			if labels, err := parseLabels(ext, []byte(text)); err != nil || !slices.Equal(labels, []string{"a", "b"}) {
				t.Errorf("%s: %q, %v", text, labels, err)
			}
		}
	}
	if labels, err := parseLabels(".yaml", []byte("nc: 3")); labels != nil || err != nil {
		t.Errorf("a file without names: %q, %v", labels, err)
	}
	for ext, text := range map[string]string{".json": `{"a": {}}`, ".yaml": "names: 7", ".txt": "a\n\nb", ".pbtxt": "item {"} {
		if labels, err := parseLabels(ext, []byte(text)); err == nil {
			t.Errorf("%s: %q; want an error", text, labels)
		}
	}
}
