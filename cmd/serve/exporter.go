package main

import (
	"fmt"
	"strconv"
	"strings"

	"fovea/internal/exporter"
	"fovea/internal/repository"
)

// How definitions are inferred and written; tests replace them.
var (
	infer           repository.InferFunc = exporter.Infer
	writeDefinition                      = exporter.Write
)

// sourceText is the section source of a model.yaml.
func sourceText(s repository.Source) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nsource:\n  url: %s\n  sha256: %s\n  size: %d\n", strconv.Quote(s.URL), s.SHA256, s.Size)
	if s.Version > 1 {
		fmt.Fprintf(&b, "  version: %d\n", s.Version)
	}
	if len(s.Files) > 0 {
		b.WriteString("  files:\n")
	}
	for _, f := range s.Files {
		fmt.Fprintf(&b, "    - path: %s\n      url: %s\n      sha256: %s\n      size: %d\n", strconv.Quote(f.Path), strconv.Quote(f.URL), f.SHA256, f.Size)
	}
	return b.String()
}
