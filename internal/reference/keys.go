package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fovea/internal/config"
	"fovea/internal/testenv"
)

// Keys returns tables of the keys of a configuration, one for each section, after those without a section. Keys without help have their
// comment in the source.
func Keys(t testing.TB, defaults any) string {
	t.Helper()
	rows := map[string][][]string{}
	sections := []string{""}
	for _, k := range config.Keys(defaults) {
		section, _, nested := strings.Cut(k.Name, ".")
		if !nested {
			section = ""
		}
		if !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
		help := k.Help
		if help == "" {
			help = comment(t, k)
		}
		if help == "" {
			t.Errorf("%s has neither help nor a comment in %s", k.Name, k.Owner)
		}
		rows[section] = append(rows[section], []string{code(k.Name), k.Type, code(k.Default), cell(k.Allowed), cell(help)})
	}
	var b strings.Builder
	for _, section := range sections {
		if len(rows[section]) == 0 {
			continue
		}
		if section != "" {
			b.WriteString("### " + section + "\n\n")
		}
		table(&b, rows[section], "key", "type", "default", "allowed", "meaning")
	}
	return b.String()
}

// comment returns the comment of a key's field in the source.
func comment(t testing.TB, k config.Key) string {
	t.Helper()
	dir := filepath.Join(testenv.Root(t), strings.TrimPrefix(k.Owner.PkgPath(), reflect.TypeFor[config.Key]().PkgPath()[:len("fovea/")]))
	noTests := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	parsed, err := parser.ParseDir(token.NewFileSet(), dir, noTests, parser.ParseComments) //nolint:staticcheck // syntax is enough
	if err != nil {
		t.Fatal(err)
	}
	var found string
	for _, pkg := range parsed {
		ast.Inspect(pkg, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != k.Owner.Name() {
				return true
			}
			fields, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					if name.Name == k.Field {
						found = strings.TrimSpace(f.Doc.Text() + f.Comment.Text())
					}
				}
			}
			return false
		})
	}
	return found
}
