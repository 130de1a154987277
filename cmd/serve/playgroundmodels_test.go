package main

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"fovea/internal/onnxwriter"
)

// side is that of the models' inputs and maps, in pixels.
const side = 48

// ofImage begins a model of an image with a number of channels, from 0 to 1.
func ofImage(channels int) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", channels, side, side)
	return m
}

// constant adds an output of numbers that do not depend on the image, in the shape [n, …].
func constant(m *onnxwriter.Model, output string, values []float32, dims ...int) {
	m.Node("ReduceMean", output+"_mean", onnxwriter.Attributes{"axes": []int{1, 2, 3}, "keepdims": 1}, "image")
	zero := output + "_mean"
	if len(dims) == 2 {
		m.Ints(output+"_axis", []int64{3}, 1)
		m.Node("Squeeze", output+"_flat", nil, zero, output+"_axis")
		zero = output + "_flat"
	}
	m.Floats(output+"_none", []float32{0}, 1)
	m.Node("Mul", output+"_zero", nil, zero, output+"_none")
	m.Floats(output+"_values", values, append([]int{1}, dims...)...)
	m.Node("Add", output, nil, output+"_zero", output+"_values")
	shape := []any{"n"}
	for _, d := range dims {
		shape = append(shape, d)
	}
	m.Output(output, onnxwriter.Float, shape...)
}

// spotDetector finds the center of light of an image, and has three boxes around it: spot 0.9, wide 0.5, spot 0.2.
func spotDetector() *onnxwriter.Model {
	m := ofImage(1)
	var across, down []float32 // of each pixel's center
	for y := range side {
		for x := range side {
			across, down = append(across, (float32(x)+0.5)/side), append(down, (float32(y)+0.5)/side)
		}
	}
	mean := func(output, input string) {
		m.Node("ReduceMean", output, onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, input)
	}
	m.Floats("some", []float32{1e-6}, 1) // for images that are black
	mean("light", "image")
	m.Node("Add", "mass", nil, "light", "some")
	for name, place := range map[string][]float32{"x": across, "y": down} {
		m.Floats(name+"_place", place, 1, 1, side, side)
		m.Node("Mul", name+"_weighed", nil, "image", name+"_place")
		mean(name+"_sum", name+"_weighed")
		m.Node("Div", name, nil, name+"_sum", "mass") // [n,1]
	}
	m.Nodes = append(m.Nodes, onnxwriter.Node{Op: "Concat", In: []string{"x", "y", "x", "y"}, Out: []string{"corners"}, Attributes: onnxwriter.Attributes{"axis": 1}})
	m.Ints("axis", []int64{1}, 1)
	m.Node("Unsqueeze", "center", nil, "corners", "axis") // [n,1,4]
	m.Floats("sizes", []float32{-0.1, -0.05, 0.1, 0.05, -0.2, -0.1, 0.2, 0.1, -0.25, -0.2, 0.25, 0.2}, 1, 3, 4)
	m.Node("Add", "boxes", nil, "center", "sizes")
	m.Output("boxes", onnxwriter.Float, "n", 3, 4)
	constant(m, "scores", []float32{0.9, 0.01, 0.01, 0.5, 0.2, 0.01}, 3, 2)
	return m
}

// averages has the mean of each channel.
func averages() *onnxwriter.Model {
	m := ofImage(3)
	m.Node("ReduceMean", "vector", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "image")
	m.Output("vector", onnxwriter.Float, "n", 3)
	return m
}

// brightness is a map.
func brightness() *onnxwriter.Model {
	m := ofImage(3)
	m.Node("ReduceMean", "map", onnxwriter.Attributes{"axes": []int{1}, "keepdims": 0}, "image")
	m.Output("map", onnxwriter.Float, "n", side, side)
	return m
}

// negative is an image.
func negative() *onnxwriter.Model {
	m := ofImage(3)
	m.Floats("one", []float32{1}, 1)
	m.Node("Sub", "negative", nil, "one", "image")
	m.Output("negative", onnxwriter.Float, "n", 3, side, side)
	return m
}

// rowsOf has finished rows, and with masks a prototype: positive in the left half.
func rowsOf(masks bool, width int, rows ...float32) *onnxwriter.Model {
	m := ofImage(3)
	constant(m, "rows", rows, len(rows)/width, width)
	if masks {
		prototype := make([]float32, side*side)
		for i := range prototype {
			if prototype[i] = -5; i%side < side/2 {
				prototype[i] = 5
			}
		}
		constant(m, "masks", prototype, 1, side, side)
	}
	return m
}

// playgroundRepository has a small model of each task.
func playgroundRepository(t *testing.T) string {
	t.Helper()
	dir := colorRepository(t, "versions: all\n", colorClassifier(1, 0, 2), colorClassifier(0, 1, 2))
	model := func(name, definition, labels string, m *onnxwriter.Model) {
		write(t, filepath.Join(dir, name, "model.yaml"), []byte(definition))
		if labels != "" {
			write(t, filepath.Join(dir, name, "labels.txt"), []byte(labels))
		}
		write(t, filepath.Join(dir, name, "1", "model.onnx"), m.Bytes())
	}
	const scaled = "input: {scale: 0.00392156862745098}\n"
	rgb := ofImage(3)
	rgb.Node("Identity", "logits", nil, "image")
	rgb.Output("logits", onnxwriter.Float, "n", 3, side, side)
	model("spot", "task: detection\nlabels: labels.txt\n"+scaled+
		"output: {decode: boxes, boxes: boxes, scores: scores, box_space: unit, score_threshold: 0.4}\n", "spot\nwide\n", spotDetector())
	model("regions", "task: semantic_segmentation\nlabels: labels.txt\n"+scaled+"output: {decode: logits_map}\n", "red\ngreen\nblue\n", rgb)
	model("depth", "task: depth\n"+scaled+"output: {decode: map}\n", "", brightness())
	model("anomaly", "task: anomaly\n"+scaled+"output: {decode: map}\n", "", brightness())
	model("negative", "task: image\n"+scaled+"output: {decode: image}\n", "", negative())
	model("vector", "task: embedding\n"+scaled+"output: {decode: vector}\n", "", averages())
	model("turned", "task: oriented_detection\nlabels: labels.txt\n"+scaled+"output: {decode: rows, columns: [cx, cy, w, h, score, class]}\n", "ship\n",
		rowsOf(false, 7, 24, 24, 24, 8, 0.8, 0, math.Pi/4))
	model("person", "task: pose\nlabels: labels.txt\n"+scaled+"output: {decode: rows, keypoints: [head, hand, foot], skeleton: [[0, 1], [0, 2]]}\n", "person\n",
		rowsOf(false, 15, 12, 12, 36, 36, 0.7, 0, 24, 16, 0.9, 16, 24, 0.8, 24, 32, 0.1))
	model("masked", "task: instance_segmentation\nlabels: labels.txt\n"+scaled+"output: {decode: rows, name: rows, masks: masks}\n", "half\n",
		rowsOf(true, 7, 12, 12, 36, 36, 0.6, 0, 1))
	return dir
}

// halves is an image of two colors, side by side.
func halves(width, height int, left, right color.Color) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(right), image.Point{}, draw.Src)
	draw.Draw(img, image.Rect(0, 0, width/2, height), image.NewUniform(left), image.Point{}, draw.Src)
	return img
}

// imageFile writes an image to a file and returns its path.
func imageFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func pngOf(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// jpegWithOrientation is a JPEG with EXIF data that has the orientation alone (EXIF 2.32, tag 0x0112).
func jpegWithOrientation(t *testing.T, img image.Image, orientation uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	exif := []byte("\xff\xe1\x00\x00Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01")
	exif = binary.BigEndian.AppendUint16(exif, orientation)
	exif = append(exif, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint16(exif[2:], uint16(len(exif)-2))
	return append(append([]byte{0xff, 0xd8}, exif...), b.Bytes()[2:]...)
}
