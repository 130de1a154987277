package loadtest

import (
	"slices"
	"strings"
	"testing"
)

func TestResponsesAreChecked(t *testing.T) {
	images := []Image{{Name: "coffee.jpg"}, {Name: "rocket.jpg"}, {Name: "any.jpg"}}
	expect := Expectation{Classes: map[string]string{"coffee.jpg": "967", "rocket.jpg": "657"}, At: classificationAt}
	const coffee, rocket = `{"top":[{"class":967}]}`, `{"top":[{"class":657}]}`
	for _, test := range []struct {
		name    string
		images  []int
		foreign bool
		at      string
		status  int
		kind    string
		answer  string
		want    []string
	}{
		{name: "a good answer", images: []int{0}, status: 200, answer: `{"predictions":[` + coffee + `]}`},
		{name: "two good answers", images: []int{0, 1}, status: 200, answer: `{"predictions":[` + coffee + `,` + rocket + `]}`},
		{name: "answers in the wrong order", images: []int{0, 1}, status: 200, answer: `{"predictions":[` + rocket + `,` + coffee + `]}`, want: []string{kindClass, kindClass}},
		{name: "one of two is wrong", images: []int{0, 1}, status: 200, answer: `{"predictions":[` + coffee + `,` + coffee + `]}`, want: []string{kindClass}},
		{name: "nothing is expected of an image", images: []int{2}, status: 200, answer: `{"predictions":[` + coffee + `]}`},
		{name: "an error in place of one of two", images: []int{0, 1}, status: 200, answer: `{"predictions":[` + coffee + `,{"error":"cut","code":"undecodable"}]}`, want: []string{"image: undecodable"}},
		{name: "a prediction too few", images: []int{0, 1}, status: 200, answer: `{"predictions":[` + coffee + `]}`, want: []string{kindCount, kindCount}},
		{name: "neither a prediction nor an error", images: []int{0}, status: 200, answer: `{"predictions":[{}]}`, want: []string{kindNothing}},
		{name: "no JSON", images: []int{0}, status: 200, answer: `<html>`, want: []string{kindNoJSON}},
		{name: "Fovea's error", images: []int{0, 1}, status: 429, kind: "429 Too Many Requests", answer: `{"error":"x","code":"queue_full"}`, want: []string{"429 queue_full", "429 queue_full"}},
		{name: "any error", images: []int{0}, status: 502, kind: "502 Bad Gateway", answer: `<html>`, want: []string{"HTTP 502"}},
		{name: "a redirect is no answer", images: []int{0}, status: 302, answer: ``, want: []string{"HTTP 302"}},
		{name: "no answer", images: []int{0, 1}, status: 0, kind: kindTimeout, want: []string{kindTimeout, kindTimeout}},
		{name: "another server's answer need not be JSON", images: []int{2}, foreign: true, status: 204},
		{name: "another server's class", images: []int{0}, foreign: true, at: "label", status: 200, answer: `{"label":"967"}`},
		{name: "another server's class for each image", images: []int{0, 1}, foreign: true, at: "{i}.c", status: 200, answer: `[{"c":967},{"c":1}]`, want: []string{kindClass}},
		{name: "no class where it should be", images: []int{0}, foreign: true, at: "label", status: 200, answer: `{"lable":"967"}`, want: []string{kindNoClass}},
		{name: "any box will do", images: []int{0}, at: detectionAt, status: 200, answer: `{"predictions":[{"boxes":[{"class":1},{"class":967}]}]}`},
		{name: "no box", images: []int{0}, at: detectionAt, status: 200, answer: `{"predictions":[{"boxes":[]}]}`, want: []string{kindClass}},
		{name: "the class is a list", images: []int{0}, foreign: true, at: "c", status: 200, answer: `{"c":[967]}`, want: []string{kindNoClass}},
		{name: "a place beyond the list", images: []int{0}, foreign: true, at: "c.7", status: 200, answer: `{"c":[967]}`, want: []string{kindNoClass}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := checker{fovea: !test.foreign, images: images, expect: expect}
			if test.at != "" {
				c.expect.At = test.at
			}
			got := c.failures(body{images: test.images}, test.status, test.kind, []byte(test.answer))
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReadExpected(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       int
		wrong      []string
	}{
		{"lines, a comment and spaces", "# images\ncoffee.jpg, 967\n\"a,b.jpg\",Siamese cat\n", 2, nil},
		{"all errors together", "coffee.jpg\na.jpg,1\na.jpg,2\nb.jpg,\n", 0, []string{"line 1 ", "line 3 repeats a.jpg", "line 4 "}},
		{"nothing", "# later\n", 0, []string{"no lines"}},
		{"a quote without an end", "\"coffee.jpg,967\n", 0, []string{"expect: "}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ReadExpected(strings.NewReader(test.text))
			if len(got) != test.want || (err != nil) != (test.wrong != nil) {
				t.Fatalf("got %v, %v", got, err)
			}
			for _, part := range test.wrong {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func FuzzExpected(f *testing.F) {
	for _, seed := range []string{"a.jpg,1\n", "#\n", "\"", "a,b,c\n", ",\n", "a.jpg,1\na.jpg,1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		classes, err := ReadExpected(strings.NewReader(text))
		if (err == nil) != (len(classes) > 0) {
			t.Errorf("%d classes and %v", len(classes), err)
		}
		for name, class := range classes {
			if name == "" || class == "" {
				t.Errorf("%q: %q", name, class)
			}
		}
	})
}
