package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"path/filepath"
	"testing"

	"fovea/internal/onnxwriter"
)

func colorClassifier(order ...int) []byte { return onnxwriter.ColorClassifier(order...).Bytes() }

const colorsDefinition = "task: classification\nlabels: labels.txt\ninput: {width: 8, height: 8, scale: 0.00392156862745098}\noutput: {decode: softmax, top_k: 3}\n"

var channels = map[string]color.RGBA{"red": {R: 255, A: 255}, "green": {G: 255, A: 255}, "blue": {B: 255, A: 255}}

// oneColor is a PNG.
func oneColor(t *testing.T, c color.Color) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 8, 8))
	draw.Draw(m, m.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// colorFolders writes n images of each color to folders named after them.
func colorFolders(t *testing.T, dir string, n int) {
	t.Helper()
	for name, c := range channels {
		data := oneColor(t, c)
		for i := range n {
			write(t, filepath.Join(dir, name, fmt.Sprintf("%03d.png", i)), data)
		}
	}
}

// colorRepository has a model colors with versions 1, 2, ….
func colorRepository(t *testing.T, more string, versions ...[]byte) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "colors", "model.yaml"), []byte(colorsDefinition+more))
	write(t, filepath.Join(dir, "colors", "labels.txt"), []byte("red\ngreen\nblue\n"))
	for i, data := range versions {
		write(t, filepath.Join(dir, "colors", fmt.Sprint(i+1), "model.onnx"), data)
	}
	return dir
}
