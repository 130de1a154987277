package repository

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"fovea/internal/testenv"
)

// TestPagesNameEveryKey wants each key of a definition in one of the pages that describe model.yaml.
func TestPagesNameEveryKey(t *testing.T) {
	var pages strings.Builder
	for _, name := range []string{"model-yaml.md", "pipelines.md", "sources.md"} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		pages.Write(text)
	}
	words := map[string]bool{}
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(pages.String(), -1) {
		words[word] = true
	}
	keys := map[string]string{}
	keysOf(reflect.TypeFor[Definition](), keys)
	if len(keys) < 80 {
		t.Errorf("only %d keys were found", len(keys))
	}
	for key, field := range keys {
		if !words[key] {
			t.Errorf("no page names %s (%s)", key, field)
		}
	}
}

// keysOf collects the keys of a struct and of those in it, with the field that each belongs to.
func keysOf(kind reflect.Type, keys map[string]string) {
	for kind.Kind() == reflect.Slice || kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Map {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct {
		return
	}
	for i := range kind.NumField() {
		f := kind.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key == "-" || f.Tag.Get("yaml") == "" {
			continue
		}
		if key != "" {
			keys[key] = kind.Name() + "." + f.Name
		}
		keysOf(f.Type, keys)
	}
}
