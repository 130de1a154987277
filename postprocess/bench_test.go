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

// scene returns YOLOv8's [84,8400]: about 3000 boxes around 400 objects, and background. testdata/bench_yolo.py has the same.
func scene(classes int) []float32 {
	const n, objects = 8400, 400
	noise := func(i int) float64 { // the finalizer of MurmurHash3, from 0 to 1
		h := uint32(i)
		h = (h ^ h>>16) * 0x85ebca6b
		h = (h ^ h>>13) * 0xc2b2ae35
		return float64(h^h>>16) / (1 << 32)
	}
	out := make([]float32, 84*n)
	for i := range n {
		thing, near := int(noise(i+2_000_000)*objects), noise(i+1_000_000) < 0.35
		for k, side := range [4][2]float64{{20, 620}, {20, 620}, {16, 120}, {16, 120}} {
			low, extent := side[0], side[1]-side[0]
			v := low + extent*noise(i*4+k+4_000_000)
			if near {
				v = low + extent*noise(thing*4+k+5_000_000) + 6*(noise(i*4+k+3_000_000)-0.5)
			}
			out[k*n+i] = float32(v)
		}
		for c := range 80 {
			out[(4+c)*n+i] = float32(0.02 * noise(i*80+c+10_000_000))
		}
		if near {
			out[(4+thing%classes)*n+i] = float32(0.3 + 0.6*noise(i+6_000_000))
		}
	}
	return out
}

func yoloDefinition(change func(o *repository.Output)) repository.Definition {
	d := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 640, Height: 640},
		Output: repository.Output{Decode: repository.DecodeYOLO, MaxBoxes: 300, Score: 0.25}}
	change(&d.Output)
	return d.WithDefaults()
}

func BenchmarkYOLO(b *testing.B) {
	transform := geometry.Transform{Width: 640, Height: 640, InputW: 640, InputH: 640, ScaleX: 1, ScaleY: 1}
	none := func(*repository.Output) {}
	zero := 0.0
	for name, c := range map[string]struct {
		classes int
		turn    bool
		def     repository.Definition
		p       Params
	}{
		"80 classes":                        {80, false, yoloDefinition(none), Params{}},
		"80 classes in rows":                {80, true, yoloDefinition(none), Params{}},
		"one class":                         {1, false, yoloDefinition(none), Params{}},
		"80 classes, every box a candidate": {80, false, yoloDefinition(none), Params{Score: &zero}},
		"80 classes, multi_label":           {80, false, yoloDefinition(func(o *repository.Output) { o.MultiLabel = true }), Params{}},
		"one class, fast":                   {1, false, yoloDefinition(func(o *repository.Output) { o.NMS = repository.NMSFast }), Params{}},
	} {
		values, shape := scene(c.classes), []int64{84, 8400}
		if c.turn {
			values, shape = turned(values, 84), []int64{8400, 84}
		}
		b.Run(name, func(b *testing.B) {
			benchmark(b, c.def, []Tensor{tensor("output0", shape, values...)}, transform, c.p)
		})
	}
}

// turned transposes a matrix of some lines.
func turned(values []float32, lines int) []float32 {
	out, columns := make([]float32, len(values)), len(values)/lines
	for i, v := range values {
		out[i%columns*lines+i/columns] = v
	}
	return out
}
