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

// colorClassifier is a classifier of red, green and blue whose class i is the channel order[i]: 0, 1, 2 is right.
func colorClassifier(order ...int) []byte {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	weights := make([]float32, 9)
	for class, channel := range order {
		weights[3*channel+class] = 10
	}
	m.Floats("weights", weights, 3, 3)
	m.Node("MatMul", "logits", nil, "mean", "weights")
	m.Output("logits", onnxwriter.Float, "n", 3)
	return m.Bytes()
}

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
