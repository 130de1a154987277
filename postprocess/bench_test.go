package postprocess

import (
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

func benchmark(b *testing.B, d repository.Definition, outputs []Tensor, transform geometry.Transform, p Params) {
	decoder := newDecoder(b, d, outputs)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decoder.Decode(outputs, transform, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, c := range map[string]struct{ model, file string }{
		"softmax":       {"mobilenetv2-12-int8", "classify-softmax.json"},
		"probabilities": {"squeezenet-fp16", "classify-float16.json"},
	} {
		g := golden[struct {
			DType  repository.DType
			Shape  []int64
			Scores string
		}](b, c.file)
		b.Run(name+"/"+string(g.DType), func(b *testing.B) {
			benchmark(b, shipped(b, c.model), []Tensor{{"y", g.DType, g.Shape, bytesOf(b, g.Scores)}}, geometry.Transform{}, Params{})
		})
	}
}

func BenchmarkDetect(b *testing.B) {
	zero := 0.0
	d, outputs, transform, _ := yoloxBus(b)
	b.Run("yolox", func(b *testing.B) { benchmark(b, d, outputs, transform, Params{}) })
	b.Run("yolox/every cell a candidate", func(b *testing.B) { benchmark(b, d, outputs, transform, Params{Score: &zero}) })
	d, outputs, transform, _ = boxesBus(b)
	b.Run("boxes", func(b *testing.B) { benchmark(b, d, outputs, transform, Params{}) })
}
