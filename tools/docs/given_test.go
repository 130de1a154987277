package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/testenv"
)

// given makes the files that pages take for granted: what a reader has.
var given = map[string]func(t *testing.T, dir string){
	"docs/yolo.md": func(t *testing.T, dir string) {
		write(t, dir, "best.onnx", trained())
		write(t, dir, "bus.jpg", testenv.Image(t, "coffee.jpg"))
	},
	"docs/pipelines.md": func(t *testing.T, dir string) {
		folder := filepath.Join(dir, "models", "yolox-nano")
		definition, _, found := strings.Cut(read(t, folder, "model.yaml"), "source:") // whose hash is that of other weights
		if !found {
			t.Fatal("the definition has no source")
		}
		write(t, folder, "model.yaml", []byte(definition))
		if err := os.MkdirAll(filepath.Join(folder, "1"), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, folder, "1/model.onnx", cupFinder())
	},
	"docs/models.md": func(t *testing.T, dir string) {
		write(t, dir, "best.onnx", trained())
		write(t, dir, "bus.jpg", testenv.Image(t, "coffee.jpg"))
	},
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trained is an ONNX file as Ultralytics' exporter writes it, of two classes, for images of 64×64 pixels: [1,6,84]. It sees a cat in the
// middle of the image, with a score of 0.5 and more for brighter images.
func trained() []byte {
	const anchors = 8*8 + 4*4 + 2*2 // of strides 8, 16 and 32
	m := &onnxwriter.Model{Producer: "pytorch", Metadata: map[string]string{"author": "Ultralytics", "task": "detect", "batch": "1",
		"description": "Ultralytics YOLO11n model trained on pets.yaml", "imgsz": "[64, 64]", "names": "{0: 'cat', 1: 'dog'}", "stride": "32",
		"channels": "3", "version": "8.3.200", "args": "{'batch': 1, 'half': False, 'dynamic': False, 'nms': False}"}}
	m.Input("images", onnxwriter.Float, 1, 3, 64, 64)
	boxes, weights, least := make([]float32, 4*anchors), make([]float32, 3*2*anchors), make([]float32, 2*anchors)
	for i := range anchors {
		for row, v := range [...]float32{32, 32, 32, 16} {
			boxes[row*anchors+i] = v
		}
	}
	weights[27], least[27] = 0.4, 0.5 // of red
	m.Floats("boxes", boxes, 1, 4, anchors)
	m.Floats("weights", weights, 3, 2*anchors)
	m.Floats("least", least, 2*anchors)
	m.Ints("grid", []int64{1, 2, anchors}, 3)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "images")
	m.Node("MatMul", "product", nil, "mean", "weights")
	m.Node("Add", "flat", nil, "product", "least")
	m.Node("Reshape", "scores", nil, "flat", "grid")
	m.Node("Concat", "output0", onnxwriter.Attributes{"axis": 1}, "boxes", "scores")
	m.Output("output0", onnxwriter.Float, 1, 6, anchors)
	return m.Bytes()
}

// cupFinder is an ONNX file as that of YOLOX-nano, [1,3549,85] for images of 416×416 pixels: it sees a cup in the middle of each.
func cupFinder() []byte {
	const anchors, columns, cup = 52*52 + 26*26 + 13*13, 85, 41 // of strides 8, 16 and 32
	m := &onnxwriter.Model{Producer: "pytorch"}
	m.Input("images", onnxwriter.Float, 1, 3, 416, 416)
	rows := make([]float32, anchors*columns)
	middle := rows[(52*52+26*26+6*13+6)*columns:]
	middle[0], middle[1], middle[2], middle[3] = 0.5, 0.5, 1.5, 1.5 // the center from the cell's corner, and the logarithms of the sides, in strides
	middle[4], middle[5+cup] = 0.9, 0.9
	m.Floats("rows", rows, 1, anchors, columns)
	m.Floats("none", []float32{0}, 1)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"keepdims": 0}, "images")
	m.Node("Mul", "zero", nil, "mean", "none")
	m.Node("Add", "output", nil, "rows", "zero")
	m.Output("output", onnxwriter.Float, 1, anchors, columns)
	return m.Bytes()
}
