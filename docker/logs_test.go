package docker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestLastLines(t *testing.T) {
	long := strings.Repeat("x", maxLine+10)
	for _, test := range []struct {
		name   string
		max    int
		writes []string
		want   []string
	}{
		{"nothing", 3, nil, nil},
		{"fewer than asked for", 3, []string{"a\nb\n"}, []string{"a", "b"}},
		{"the last ones", 2, []string{"a\nb\nc\n"}, []string{"b", "c"}},
		{"a line in pieces", 2, []string{"a", "b", "\nc"}, []string{"ab", "c"}},
		{"empty lines count", 3, []string{"a\n\nb\n"}, []string{"a", "", "b"}},
		{"none", 0, []string{"a\nb"}, []string{}},
		{"a line too long is cut", 2, []string{long, "tail\nb\n"}, []string{long[:maxLine], "b"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &lastLines{max: test.max}
			for _, text := range test.writes {
				if n, err := fmt.Fprint(l, text); n != len(text) || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := l.finish(); !slices.Equal(got, test.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}
