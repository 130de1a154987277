package verify

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fovea/internal/repository"
)

func TestFoldersNameClasses(t *testing.T) {
	labels := []string{"golden retriever", "Arctic fox", "crane", "7", "crane"}
	for what, c := range map[string]struct {
		labels []string
		image  string
		want   Class
		ok     bool
	}{
		"a label":                            {labels, "crane/1.png", Class{-1, "crane", 0}, true},
		"with an underscore":                 {labels, "golden_retriever/1.png", Class{-1, "golden retriever", 0}, true},
		"with a hyphen and other letters":    {labels, "arctic-Fox/x/1.png", Class{-1, "Arctic fox", 0}, true},
		"a label that is a number":           {labels, "7/1.png", Class{-1, "7", 0}, true},
		"the number of a class":              {labels, "2/1.png", Class{2, "", 0}, true},
		"a number beyond the classes":        {labels, "5/1.png", Class{}, false},
		"a negative number":                  {labels, "-1/1.png", Class{}, false},
		"no label":                           {labels, "dog/1.png", Class{}, false},
		"no folder":                          {labels, "crane.png", Class{}, false},
		"the number of a class, no labels":   {nil, "999/1.png", Class{999, "", 0}, true},
		"a name without labels":              {nil, "crane/1.png", Class{}, false},
		"an empty name does not match white": {[]string{" "}, "_/1.png", Class{}, false},
	} {
		got, ok := NewFolders(c.labels).Of(c.image)
		if ok != c.ok || got.Number != c.want.Number || got.Label != c.want.Label {
			t.Errorf("%s: %+v, %t; want %+v", what, got, ok, c.want)
		}
	}
	f := NewFolders(labels)
	crane, _ := f.Of("crane/1.png")
	number, _ := f.Of("1/1.png")
	for what, c := range map[string]struct {
		class Class
		a     *Answer
		right bool
	}{
		"another class of the same name": {crane, &Answer{Classes: []Class{{4, "Crane", 0.9}}}, true},
		"another class":                  {crane, &Answer{Classes: []Class{{0, "golden retriever", 0.9}, {2, "crane", 0.1}}}, false},
		"the number":                     {number, &Answer{Classes: []Class{{1, "Arctic fox", 0.9}}}, true},
		"another number":                 {number, &Answer{Classes: []Class{{2, "crane", 0.9}}}, false},
		"no class":                       {crane, &Answer{}, false},
		"no answer":                      {crane, nil, false},
	} {
		if got := f.Right(c.class, c.a); got != c.right {
			t.Errorf("%s: %t", what, got)
		}
	}
}

// fixed predicts what a map says; other images fail.
func fixed(answers map[string]string) Predict {
	return func(_ context.Context, image string) (*Answer, error) {
		label, ok := answers[image]
		if !ok {
			return nil, errors.New("undecodable")
		}
		return &Answer{Classes: []Class{{strings.Index("abc", label), label, 0.8}, {3, "d", 0.1}}}, nil
	}
}

// TestAccuracyAndItsDrop compares two versions on four images of known classes, one without, and one that only the new version fails on.
func TestAccuracyAndItsDrop(t *testing.T) {
	images := []string{"a/1.png", "a/2.png", "b/3.png", "c/4.png", "c/5.png", "other/6.png"}
	served := fixed(map[string]string{"a/1.png": "a", "a/2.png": "a", "b/3.png": "b", "c/4.png": "a", "c/5.png": "c", "other/6.png": "a"})
	next := fixed(map[string]string{"a/1.png": "a", "a/2.png": "b", "b/3.png": "b", "c/4.png": "a", "other/6.png": "b"})
	d := repository.Definition{Task: repository.Classification, Labels: []string{"a", "b", "c", "d"}}
	expected, err := Predicted(t.Context(), "m version 1", false, images, served, 2)
	if err != nil {
		t.Fatal(err)
	}
	run := func(e *Expected) *Report {
		r, err := Run(t.Context(), Options{Definition: d, Images: images, Expected: e, Tolerance: Tolerance{Score: 0.1}, Try: 1, Workers: 1,
			Open: func(repository.Definition) (Predict, func(), error) { return next, func() {}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run(expected)
	a := r.Accuracy
	if a == nil || a.Images != 5 || a.Unnamed != 1 || a.Accuracy != 0.4 || *a.Against != 0.8 || *a.Drop < 0.399 || *a.Drop > 0.401 {
		t.Errorf("accuracy %+v", a)
	}
	if r.Top1 != 0.5 || r.Failed != 1 || r.Format != "m version 1" || r.Difference > 0.3 || r.MaxDifference != 0 {
		t.Errorf("%+v", r.Result)
	}
	truth, err := NewFolders(d.Labels).Expected(images)
	if err != nil {
		t.Fatal(err)
	}
	if r := run(truth); r.Top1 != 0.4 || r.Compared != 5 || r.Unlisted != 1 || r.Accuracy.Against != nil || r.Accuracy.Accuracy != 0.4 {
		t.Errorf("against the folders: %+v, %+v", r.Result, r.Accuracy)
	}
	if _, err := NewFolders(d.Labels).Expected([]string{"x/1.png", "a.png"}); err == nil || !strings.Contains(err.Error(), "no folder") {
		t.Errorf("no folder is a label: %v", err)
	}
	if _, err := Predicted(t.Context(), "m", false, images, fixed(nil), 2); err == nil || !strings.Contains(err.Error(), "undecodable") {
		t.Errorf("a model that predicts nothing: %v", err)
	}
}

func TestComparePairs(t *testing.T) {
	one := &Answer{Width: 100, Height: 100, Boxes: []Box{box(0, 0.9, 0, 0, 10, 10)}}
	other := &Answer{Width: 100, Height: 100, Boxes: []Box{box(0, 0.9, 50, 50, 60, 60)}}
	d := repository.Definition{Task: repository.Detection, Output: repository.Output{Score: 0.3}}
	for what, c := range map[string]struct {
		pairs     []Pair
		agreement float64
	}{
		"equal":                      {[]Pair{{"a", one, one}}, 1},
		"elsewhere":                  {[]Pair{{"a", one, other}}, 0},
		"one of two":                 {[]Pair{{"a", one, one}, {"b", one, other}}, 2.0 / 3},
		"the new one fails":          {[]Pair{{"a", one, one}, {"b", one, nil}}, 2.0 / 3},
		"the old one fails":          {[]Pair{{"a", one, one}, {"b", nil, one}}, 2.0 / 3},
		"both fail":                  {[]Pair{{"a", one, one}, {"b", nil, nil}}, 1},
		"nothing is there in either": {[]Pair{{"a", &Answer{}, &Answer{}}}, 1},
	} {
		if got := Compare(d, Tolerance{IoU: 0.5, Score: 0.1}, c.pairs); got.Agreement != c.agreement {
			t.Errorf("%s: %v, want %v", what, got.Agreement, c.agreement)
		}
	}
}

// FuzzFolders: whatever a folder is called, an image of it is right if its best class is the one that the folder names, and only then.
func FuzzFolders(f *testing.F) {
	f.Add("golden_retriever/1.png", "golden retriever", "cat")
	f.Add("1/2/3", "", "1")
	f.Add("../x", "..", "x")
	f.Fuzz(func(t *testing.T, image, first, second string) {
		labels := []string{first, second}
		folders := NewFolders(labels)
		class, ok := folders.Of(image)
		if !ok {
			return
		}
		right := 0
		for i, label := range labels {
			if folders.Right(class, &Answer{Classes: []Class{{i, label, 0.5}}}) {
				right++
			}
		}
		if right == 0 || right == 2 && plainName(first) != plainName(second) {
			t.Errorf("%q is %+v, and right with %d of %q", image, class, right, labels)
		}
		if e, err := folders.Expected([]string{image}); err != nil || len(e.Names()) != 1 {
			t.Errorf("%q: %v", image, err)
		} else if a, _ := e.For(image); a == nil {
			t.Errorf("%q is not found", image)
		}
	})
}
