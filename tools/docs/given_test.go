package docs

import (
	"os"
	"path/filepath"
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
