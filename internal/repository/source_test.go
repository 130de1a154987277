package repository

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/config"
)

func TestSourceSchemes(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for _, address := range []string{"https://example.com/m.onnx", "hf://o/r@main/m.onnx", "s3://bucket/m.onnx?versionId=1",
		"oci://ghcr.io/o/m@sha256:" + hash + "/m.onnx", "http://127.0.0.1:8080/m.onnx"} {
		s := Source{URL: address, SHA256: hash, Version: 1, Files: []SourceFile{{Path: "data/w.bin", URL: address, SHA256: hash}, {Path: "config.json", SHA256: hash}}}
		var errs config.Errors
		if s.check(&errs); len(errs) > 0 {
			t.Errorf("%s: %v", address, errs.Err())
		}
	}
}

func TestValidSourcePath(t *testing.T) {
	for name, want := range map[string]bool{
		"model.onnx_data": true, "data/w.bin": true, "a b/c+d": true, "..": false, ".": false, "": false, "../x": false, "a/../../x": false, "a/../b": false,
		"/etc/passwd": false, "a//b": false, "a/": false, ".hidden": false, "a/.git/x": false, "x.part": false, "x.part-tag": false, "x.part/y": false,
		"a\\b": false, "C:x": false, "a\nb": false, strings.Repeat("a", 256): false,
	} {
		if got := ValidSourcePath(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func FuzzValidSourcePath(f *testing.F) {
	for _, name := range []string{"w.bin", "a/../b", "../x", "a/.b"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidSourcePath(name) && (!strings.HasPrefix(filepath.Join("/folder", name), "/folder/") || strings.Contains("/"+name, "/.")) {
			t.Errorf("%q is allowed", name)
		}
	})
}

func TestExternalDataOf(t *testing.T) {
	model := addModel(kept("./data//w.bin", 4, 12))
	got, err := ExternalData(bytes.NewReader(model), int64(len(model)))
	if err != nil || fmt.Sprint(got) != "map[data/w.bin:16]" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := ExternalData(strings.NewReader("<html>"), 6); err == nil {
		t.Error("a page is a model")
	}
}
