package inference

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fovea/inference/onnx"
	"fovea/internal/onnxwriter"
	"fovea/postprocess"
)

// joinedRows has the boxes of all images in one table [n,6], as PaddleDetection and YOLOv7 export them: here one for each image, as
// wide as its brightness.
func joinedRows() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 64, 64)
	m.Floats("scales", []float32{0, 0, 0.1, 0, 0, 0}, 1, 6)
	m.Floats("offsets", []float32{8, 8, 16, 24, 0.9, 1, 8, 8, 16, 24, 0.8, 0}, 2, 6)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{1, 2, 3}, "keepdims": 0}, "image")
	m.Node("ReduceMean", "all", onnxwriter.Attributes{"keepdims": 1, "axes": []int{0}}, "mean")
	m.Node("Mul", "scaled", nil, "all", "scales")
	m.Node("Add", "rows", nil, "scaled", "offsets")
	m.Output("rows", onnxwriter.Float, "boxes", 6)
	return m
}

// TestOutputsWithoutABatchTakeOneImage: where batches of several are the default, as on a GPU.
func TestOutputsWithoutABatchTakeOneImage(t *testing.T) {
	for size, want := range map[int]State{0: Ready, 1: Ready, 4: Failed} {
		t.Run(fmt.Sprintf("max_size %d", size), func(t *testing.T) {
			definition := "task: detection\nlabels: labels.txt\ninput: {resize: stretch}\noutput: {decode: rows}\n"
			if size > 0 {
				definition += fmt.Sprintf("batching: {max_size: %d}\n", size)
			}
			r := newRepository(t).made("m", definition, joinedRows())
			e := r.engine(nil)
			e.shared.batchSizes = func(d onnx.Device, size, fixed int) []int {
				if size == 0 {
					size = 3
				}
				return batchSizes(d, size, fixed)
			}
			err := e.Sync(t.Context())
			s := only(t, e)
			if s.State != want || (err != nil) != (want == Failed) {
				t.Fatalf("%s: %v", s.State, err)
			}
			if want == Failed {
				if !strings.Contains(err.Error(), "its shape is [2 6] in a batch of 1: the first dimension must be the batch, or batching.max_size must be 1") {
					t.Error(err)
				}
				return
			}
			answer, err := e.Predict(t.Context(), Request{Image: plain(t, green, 64, 64)})
			if err != nil {
				t.Fatal(err)
			}
			boxes := answer.Prediction.(*postprocess.Detected).Boxes
			if len(boxes) != 2 || !slices.Equal([]float64{boxes[0].X1, boxes[0].Y1, boxes[0].Y2}, []float64{8, 8, 24}) || boxes[0].Label != "dog" {
				t.Errorf("%+v", boxes)
			}
		})
	}
}
