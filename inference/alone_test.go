package inference

import (
	"fmt"
	"image/color"
	"strings"
	"sync"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/onnxwriter"
)

// pickyModel finds the class of an image in a table, by its brightness, 0 to 1 times 3, and fails on one that is above 2.
func pickyModel() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	m.Floats("three", []float32{3})
	m.Floats("table", []float32{9, 0, 0, 9}, 2, 2)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{1, 2, 3}, "keepdims": 0}, "image")
	m.Node("Mul", "bright", nil, "mean", "three")
	m.Node("Cast", "index", onnxwriter.Attributes{"to": int(onnxwriter.Int64)}, "bright")
	m.Node("Gather", "logits", nil, "table", "index")
	m.Output("logits", onnxwriter.Float, "n", 2)
	return m
}

// TestAnImageThatTheModelFailsOnFailsAlone sends images in full batches of four, of which one is bad.
func TestAnImageThatTheModelFailsOnFailsAlone(t *testing.T) {
	for name, output := range map[string][2]any{"a fixed number of classes": {"n", 2}, "an open number of classes": {"n", "classes"}} {
		t.Run(name, func(t *testing.T) {
			m := pickyModel()
			m.Outputs[0].Dims = output[:]
			e := newRepository(t).made("m", "task: classification\ninput: {scale: 0.00392156862745098}\nlabels: labels.txt\n"+
				"batching: {max_size: 4, max_delay: 10s}\noutput: {decode: softmax}", m).synced(nil)
			images := [][]byte{plain(t, color.Gray{20}, 8, 8), plain(t, color.Gray{140}, 8, 8), plain(t, color.White, 8, 8), plain(t, color.Gray{30}, 8, 8)}
			for range 3 {
				var wg sync.WaitGroup
				got := make([]string, len(images))
				for i, image := range images {
					wg.Go(func() {
						r, err := e.Predict(t.Context(), Request{Image: image})
						got[i] = fmt.Sprintf("%s %v", first(r), err != nil)
						if err != nil && (apierror.From(err).Code != apierror.Internal || !strings.Contains(err.Error(), "the model failed on this image, in its node")) {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if want := "[cat false dog false no answer true cat false]"; fmt.Sprint(got) != want {
					t.Errorf("%v, want %v", got, want)
				}
			}
			atRest(t, e)
		})
	}
}
