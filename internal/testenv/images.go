package testenv

import (
	"bytes"
	"compress/zlib"
	"os"
	"path/filepath"
	"testing"
)

// Image returns the bytes of a shipped image in testdata/images.
func Image(t testing.TB, name string) []byte {
	t.Helper()
	return file(t, "testdata", "images", name)
}

// FormatSample returns an image of preprocess/testdata/images, which has one per variant of each format.
func FormatSample(t testing.TB, name string) []byte {
	t.Helper()
	return file(t, "preprocess", "testdata", "images", name)
}

func file(t testing.TB, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Root(t), filepath.Join(path...)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Deflated compresses data with zlib at a level of package zlib.
func Deflated(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zlib.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
