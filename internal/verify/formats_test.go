package verify

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// text writes an answer briefly: classes as number label score, boxes with their corners behind.
func (a *Answer) text() string {
	var b strings.Builder
	class := func(c Class) { fmt.Fprintf(&b, "%d %s %.3g", c.Number, c.Label, c.Score) }
	for _, c := range a.Classes {
		class(c)
		b.WriteString("; ")
	}
	for _, box := range a.Boxes {
		class(box.Class)
		fmt.Fprintf(&b, " [%.4g %.4g %.4g %.4g]; ", box.X1, box.Y1, box.X2, box.Y2)
	}
	if a.Unit {
		b.WriteString("unit")
	}
	return strings.TrimSpace(b.String())
}

const notes = `{"images": [{"id": 7, "file_name": "street.jpg"}], "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}], "annotations": []}`

// TestFormats reads what other programs write.
func TestFormats(t *testing.T) {
	for what, c := range map[string]struct {
		file, content, notes string
		format               string
		image, want          string // an image and its answer
	}{
		"text of yolo predict": {"bus.txt", "5 0.5 0.5 0.25 0.5\n0 0.1 0.25 0.2 0.5\n", "", ultralyticsText, "bus.jpg",
			"5  NaN [0.375 0.25 0.625 0.75]; 0  NaN [0 0 0.2 0.5]; unit"},
		"text with confidence": {"bus.txt", "5 0.5 0.5 0.25 0.5 0.875\n", "", ultralyticsText, "bus.jpg", "5  0.875 [0.375 0.25 0.625 0.75]; unit"},
		"text with a track":    {"bus.txt", "5 0.5 0.5 0.25 0.5 0.875 12\n", "", ultralyticsText, "bus.jpg", "5  0.875 [0.375 0.25 0.625 0.75]; unit"},
		"text of a classifier": {"a.txt", "0.87 golden retriever\n0.05 7 up\n", "", ultralyticsText, "a.png", "-1 golden retriever 0.87; -1 7 up 0.05;"},
		"JSON of results": {"bus.json", `[{"name": "bus", "class": 5, "confidence": 0.9, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}]`, "",
			ultralyticsJSON, "bus.jpg", "5 bus 0.9 [1 2 30 40];"},
		"JSON of normalized results": {"bus.json", `[{"name": "bus", "class": 5, "confidence": 0.9, "box": {"x1": 0.1, "y1": 0.2, "x2": 1, "y2": 0.4}}]`, "",
			ultralyticsJSON, "bus.jpg", "5 bus 0.9 [0.1 0.2 1 0.4]; unit"},
		"JSON of a classifier": {"a.json", `[{"name": "cat", "class": 2, "confidence": 0.9}, {"name": "dog", "class": 1, "confidence": 0.1}]`, "",
			ultralyticsJSON, "a.webp", "2 cat 0.9; 1 dog 0.1;"},
		"JSON without boxes": {"a.json", `[]`, "", "", "a.jpg", ""},
		"COCO results": {"results.json", `[{"image_id": 139, "category_id": 18, "bbox": [10, 20, 5.5, 4], "score": 0.5}]`, "",
			cocoResults, "val2017/000000000139.jpg", "18  0.5 [10 20 15.5 24];"},
		"predictions.json with names of files": {"predictions.json", `[{"image_id": "a b", "file_name": "a b.jpg", "category_id": 1, "bbox": [0, 0, 1, 2], "score": 0.5}]`, "",
			cocoResults, "a b.jpg", "1  0.5 [0 0 1 2];"},
		"COCO results with annotations": {"results.json", `[{"image_id": 7, "category_id": 18, "bbox": [10, 20, 5, 4], "score": 0.5}]`, notes,
			cocoResults, "street.jpg", "-1 dog 0.5 [10 20 15 24];"},
		"CSV":                     {"classes.csv", "a.jpg,dog,0.9\nb.jpg,\"cat, gray\"\n", "", csvClasses, "b.jpg", "-1 cat, gray NaN;"},
		"CSV with a first line":   {"classes.csv", "score,File,Label\n0.2,x/a.jpg,3\n0.7,x/a.jpg,1\n", "", csvClasses, "x/a.jpg", "1  0.7; 3  0.2;"},
		"CSV by another name":     {"truth", "a.jpg,dog\n", "", csvClasses, "a.jpg", "-1 dog NaN;"},
		"a response with boxes":   {"bus.json", `{"model": "m", "predictions": [{"boxes": [{"class": 0, "label": "bus", "score": 0.5, "x1": 1, "y1": 2, "x2": 3, "y2": 4}], "width": 9, "height": 8}]}`, "", foveaJSON, "bus.jpg", "0 bus 0.5 [1 2 3 4];"},
		"a response with classes": {"a.json", `{"predictions": [{"top": [{"class": 4, "label": "x", "score": 0.25}]}]}`, "", foveaJSON, "a.jpg", "4 x 0.25;"},
		"responses by image": {"all.json", `{"a.jpg": {"top": [{"class": 4, "label": "x", "score": 0.25}]}, "b.jpg": {"top": []}}`, "",
			foveaJSON, "a.jpg", "4 x 0.25;"},
		"responses as lines": {"all.jsonl", "{\"image\": \"a.jpg\", \"predictions\": [{\"top\": [{\"class\": 4}]}]}\n{\"image\": \"b.jpg\", \"predictions\": [{\"top\": []}]}", "",
			foveaJSON, "a.jpg", "4  NaN;"},
	} {
		var n *cocoNotes
		if c.notes != "" {
			var err error
			if n, err = parseAnnotations([]byte(c.notes)); err != nil {
				t.Fatal(err)
			}
		}
		e, err := Parse([]byte(c.content), c.file, n)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		a, ok := e.For(c.image)
		if !ok || e.Format != c.format || a.text() != c.want {
			t.Errorf("%s: format %q, found %v: %+v; want %q", what, e.Format, ok, a, c.want)
		}
	}
}

// TestBadFormats expects errors that say what is wrong.
func TestBadFormats(t *testing.T) {
	for what, c := range map[string]struct{ file, content, want string }{
		"nothing":                  {"a.csv", "", "no predictions"},
		"ground truth":             {"instances_val.json", notes, "--annotations"},
		"a mask":                   {"a.txt", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4 0.4\n", "has 9 numbers"},
		"mixed lines":              {"a.txt", "5 0.5 0.5 0.25 0.5\n5 dog\n", "line 2"},
		"a score beyond 1":         {"a.csv", "a.jpg,dog,87\n", "line 1: the score"},
		"no label":                 {"a.csv", "a.jpg,dog\nb.jpg\n", "line 2: "},
		"an oriented box":          {"a.json", `[{"name": "x", "class": 1, "confidence": 1, "box": {"x1": 1, "y1": 1, "x2": 2, "y2": 2, "x3": 3, "y3": 3}}]`, "oriented"},
		"a result without numbers": {"a.json", `[{"image_id": 1, "category_id": 2, "bbox": [1, 2]}]`, "[0]: has a bbox of 2 numbers"},
		"several predictions":      {"a.json", `{"predictions": [{"top": []}, {"top": []}]}`, "one response per image"},
		"an error":                 {"a.json", `{"predictions": [{"error": "the image is corrupt", "code": "corrupt"}]}`, "is an error"},
		"another list":             {"a.json", `[{"x": 1}]`, "unknown format; allowed: "},
		"cut off":                  {"a.json", `[{"image_id"`, "is not JSON"},
		"a half class":             {"a.txt", "0.5 0.5 0.5 0.5 0.5\n", "whole number"},
	} {
		if e, err := Parse([]byte(c.content), c.file, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %+v; want %q", what, err, e, c.want)
		}
	}
}

func TestFolderOfText(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"a.txt": "", "b.txt": "1 0.5 0.5 1 1 0.9\n", "classes.txt": "cat\ndog\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Load(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for image, want := range map[string]string{"a.jpg": "", "b.jpg": "1  0.9 [0 0 1 1]; unit", "no-text-file.jpg": ""} {
		if a, ok := e.For(image); a == nil || a.text() != want || ok != (image != "no-text-file.jpg") {
			t.Errorf("%s: %v, %+v", image, ok, a)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "c.txt"), []byte("0.9 dog\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, ""); err == nil || !strings.Contains(err.Error(), "c.txt") && !strings.Contains(err.Error(), "line") {
		t.Errorf("boxes and classes: %v", err)
	}
}

// TestCategoryNumbers reads category ids without an annotation file.
func TestCategoryNumbers(t *testing.T) {
	for ids, c := range map[string]struct {
		labels int
		want   string
	}{
		"1 90":  {80, "the ids of COCO's 80 categories"},
		"0 79":  {80, "category_id from 0"},
		"1 80":  {80, "the ids of COCO's 80 categories"},
		"12 80": {80, "category_id from 1"}, // 12 is none of COCO's
		"1 3":   {3, "category_id from 1"},
		"0 2":   {3, "category_id from 0"},
	} {
		e := &Expected{Detection: true, Numbering: Category}
		for id := range strings.FieldsSeq(ids) {
			var n int
			if _, err := fmt.Sscan(id, &n); err != nil {
				t.Fatal(err)
			}
			e.answer("a").Boxes = append(e.answer("a").Boxes, Box{Class: Class{Number: n}})
		}
		names, _ := e.numberings(c.labels)
		if len(names) == 0 || names[0] != c.want {
			t.Errorf("%s of %d labels: %v, want %s", ids, c.labels, names, c.want)
		}
	}
	if len(cocoCategories) != 80 || cocoCategories[79] != 90 || cocoCategories[11] != 13 {
		t.Errorf("%v", cocoCategories)
	}
}

// FuzzParse reads any bytes under any name: answers have finite numbers, and scores are probabilities or unknown.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"5 0.5 0.5 0.25 0.5 0.9\n", "0.9 dog\n", "a.jpg,dog,0.9\n", notes, `[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 1}]`,
		`[{"name": "bus", "class": 5, "confidence": 0.9, "box": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}]`, `{"predictions": [{"top": [{"class": 4}]}]}`,
		`{"a.jpg": {"boxes": [{"class": 4, "x1": 1}]}}`} {
		for _, name := range []string{"a.txt", "a.json", "a.csv"} {
			f.Add([]byte(s), name)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		_, _ = parseAnnotations(data)
		e, err := Parse(data, name, nil)
		if err != nil {
			return
		}
		for _, image := range e.Names() {
			a, ok := e.For(image)
			if !ok {
				t.Fatalf("%q is not found", image)
			}
			for _, c := range a.Classes {
				checkClass(t, c)
			}
			for _, b := range a.Boxes {
				checkClass(t, b.Class)
				for _, v := range []float64{b.X1, b.Y1, b.X2, b.Y2} {
					if math.IsNaN(v) {
						t.Fatalf("a corner of %q is no number", image)
					}
				}
			}
		}
	})
}

func checkClass(t *testing.T, c Class) {
	if c.Number < -1 || c.Number > maxClass || c.Score < 0 || c.Score > 1 || c.Number == -1 && c.Label == "" {
		t.Fatalf("%+v", c)
	}
}
