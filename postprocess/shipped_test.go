package postprocess

import (
	"testing"

	"fovea/internal/repository"
)

// What the ONNX files of the shipped definitions say, read with ONNX Runtime.
func TestShippedDefinitionsFitTheirModels(t *testing.T) {
	info := func(name string, dtype repository.DType, shape ...int64) repository.TensorInfo {
		return repository.TensorInfo{Name: name, DType: dtype, Shape: shape}
	}
	type list = []repository.TensorInfo
	f32, f16, i64 := repository.Float32, repository.Float16, repository.Int64
	for name, c := range map[string]struct {
		inputs, outputs list
		width, batch    int
	}{
		"mobilenetv2-12-int8": {list{info("input", f32, -1, 3, 224, 224)}, list{info("output", f32, -1, 1000)}, 224, 0},
		"squeezenet-fp32":     {list{info("data_0", f32, -1, 3, 224, 224)}, list{info("softmaxout_1", f32, -1, 1000, 1, 1)}, 224, 0},
		"squeezenet-fp16":     {list{info("data_0", f16, 1, 3, 224, 224)}, list{info("softmaxout_1", f16, 1, 1000, 1, 1)}, 224, 1},
		"yolox-nano":          {list{info("images", f32, 1, 3, 416, 416)}, list{info("output", f32, 1, 3549, 85)}, 416, 1},
		"yolox-nano-batch":    {list{info("images", f32, -1, 3, 416, 416)}, list{info("output", f32, -1, 3549, 85)}, 416, 0},
		"deimv2-atto": {list{info("images", f32, -1, 3, 320, 320), info("orig_target_sizes", i64, -1, 2)},
			list{info("labels", i64, -1, -1), info("boxes", f32, -1, -1, 4), info("scores", f32, -1, -1)}, 320, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := shipped(t, name).Resolve(c.inputs, c.outputs)
			if err != nil {
				t.Fatal(err)
			}
			in := d.Input
			if in.Name != c.inputs[0].Name || in.Width != c.width || in.Height != c.width || in.DType != c.inputs[0].DType ||
				in.Layout != "nchw" || d.Batching.MaxSize != c.batch {
				t.Errorf("resolved to %+v, max_size %d", in, d.Batching.MaxSize)
			}
			rows := make([]Tensor, len(c.outputs))
			for i, o := range c.outputs {
				rows[i] = Tensor{Name: o.Name, DType: o.DType, Shape: o.Shape[1:]}
			}
			if _, err := New(d, rows); err != nil {
				t.Error(err)
			}
		})
	}
}
