package inference

import (
	"math"
	"math/rand/v2"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/postprocess"
)

// maskedMean is a classifier whose logits are the means of the channels where the mask is 1. A mask of another size than the image
// makes it fail.
func maskedMean(t onnxwriter.Type, image, mask []any) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("pixel_values", onnxwriter.Float, image...)
	m.Input("pixel_mask", t, mask...)
	m.Ints("channel", []int64{1}, 1)
	m.Node("Cast", "mask", onnxwriter.Attributes{"to": int(onnxwriter.Float)}, "pixel_mask")
	m.Node("Unsqueeze", "masks", nil, "mask", "channel")
	m.Node("Mul", "shown", nil, "pixel_values", "masks")
	m.Node("ReduceMean", "sums", onnxwriter.Attributes{"axes": []int{-2, -1}, "keepdims": 0}, "shown")
	m.Node("ReduceMean", "area", onnxwriter.Attributes{"axes": []int{-2, -1}, "keepdims": 0}, "masks")
	m.Node("Div", "logits", nil, "sums", "area")
	m.Output("logits", onnxwriter.Float, "n", 3)
	return m
}

// TestPaddingIsMasked sends red images, which are padded with white.
func TestPaddingIsMasked(t *testing.T) {
	r := newRepository(t)
	const text = "task: classification\nlabels: labels.txt\noutput: {decode: softmax, top_k: 3}\ninput: {scale: 0.00392156862745098, fill: 255, " +
		"name: pixel_values, extra: [{name: pixel_mask, value: pixel_mask}], "
	for name, c := range map[string]struct {
		input       string
		image, mask []any
	}{
		"open":     {"resize: fit, shortest_edge: 40, longest_edge: 100, stride: 32", []any{"n", 3, "h", "w"}, []any{"n", "h", "w"}},
		"fixed":    {"resize: letterbox", []any{"n", 3, 64, 96}, []any{"n", 64, 96}},
		"named":    {"resize: letterbox, width: 96, height: 64", []any{"n", 3, "h", "w"}, []any{"n", "h", "w"}},
		"top-left": {"resize: letterbox, place: top_left", []any{1, 3, 64, 96}, []any{1, "h", "w"}},
	} {
		r.define(name, text+c.input+"}\n")
		r.addModel(name, maskedMean(onnxwriter.Int64, c.image, c.mask))
	}
	e := r.synced(nil)
	want := math.E / (math.E + 2)
	random := rand.New(rand.NewPCG(1, 2))
	for name := range e.models {
		for range 20 {
			w, h := 1+random.IntN(200), 1+random.IntN(200)
			got, err := e.Predict(t.Context(), Request{Model: name, Image: plain(t, red, w, h)})
			if err != nil {
				t.Fatal(err)
			}
			if best := got.Prediction.(*postprocess.Classified).Top[0]; best.Label != "red" || math.Abs(best.Score-want) > 1e-5 {
				t.Errorf("%s: %d×%d is %s with %v, want red with %v", name, w, h, best.Label, best.Score, want)
			}
		}
	}
}
