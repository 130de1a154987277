package postprocess

import (
	"math"
	"math/rand/v2"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

var square640 = geometry.Transform{Width: 640, Height: 640, InputW: 640, InputH: 640, ScaleX: 1, ScaleY: 1}

// BenchmarkInstances has 100 objects in an image of 640×640, with YOLOv8's 32 prototypes of 160×160: boxes of 100 to 300 pixels, or of the whole
// image.
func BenchmarkInstances(b *testing.B) {
	const n, m, side = 100, 32, 160
	rng := rand.New(rand.NewPCG(1, 9))
	protos := make([]float32, m*side*side)
	for i := range protos {
		k, x, y := i/(side*side), i%side, i/side%side
		protos[i] = float32(math.Sin(float64(x*(k+1))/40) + math.Cos(float64(y*(k+2))/50))
	}
	o := repository.Output{Decode: repository.DecodeYOLO, Name: "t", NMS: repository.NMSNone}
	o.Mask.Masks = "p"
	d := taskDefinition(repository.InstanceSegmentation, o)
	for name, size := range map[string][2]float64{"100 to 300 pixels": {100, 300}, "the whole image": {640, 640}} {
		rows := make([]float32, 0, n*(5+m))
		for range n {
			w, h := size[0]+rng.Float64()*(size[1]-size[0]), size[0]+rng.Float64()*(size[1]-size[0])
			x, y := w/2+rng.Float64()*(640-w), h/2+rng.Float64()*(640-h)
			rows = append(rows, float32(x), float32(y), float32(w), float32(h), 0.9)
			for range m {
				rows = append(rows, rng.Float32()-0.45)
			}
		}
		outputs := []Tensor{tensor("t", []int64{n, 5 + m}, rows...), tensor("p", []int64{m, side, side}, protos...)}
		b.Run(name, func(b *testing.B) { benchmark(b, d, outputs, square640, Params{}) })
		p, err := newDecoder(b, d, outputs).Decode(outputs, square640, Params{})
		if err != nil || len(p.(*Segmented).Boxes) < 90 {
			b.Fatalf("%v", err)
		}
		for _, encoding := range []string{EncodingRLE, EncodingPolygon, EncodingPNG} {
			for _, box := range p.(*Segmented).Boxes {
				box.Mask.Encoding = encoding
			}
			b.Run(name+" as "+encoding, func(b *testing.B) {
				for b.Loop() {
					for _, box := range p.(*Segmented).Boxes {
						if _, err := box.Mask.MarshalJSON(); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// BenchmarkSemantic has 150 classes at a quarter of 512×512, for an image of 1280×960.
func BenchmarkSemantic(b *testing.B) {
	const classes, side = 150, 128
	values := make([]float32, classes*side*side)
	for i := range values {
		k, x, y := i/(side*side), i%side, i/side%side
		values[i] = float32(math.Sin(float64(x*(k%7+1))/30+float64(k)) + math.Cos(float64(y*(k%5+1))/40+float64(k)))
	}
	d := taskDefinition(repository.SemanticSegmentation, repository.Output{Decode: repository.DecodeLogitsMap})
	t := geometry.Transform{Width: 1280, Height: 960, InputW: 512, InputH: 512, ScaleX: 0.4, ScaleY: 512.0 / 960}
	benchmark(b, d, []Tensor{tensor("y", []int64{classes, side, side}, values...)}, t, Params{})
}

// BenchmarkOriented has 8400 rotated boxes, of which about 3000 are candidates.
func BenchmarkOriented(b *testing.B) {
	const n = 8400
	values := scene(80)
	angles := make([]float32, n)
	for i := range angles {
		angles[i] = float32(i%31) / 10
	}
	o := repository.Output{Decode: repository.DecodeYOLO, MaxBoxes: 300, Score: 0.25, IoU: 0.7}
	d := taskDefinition(repository.OrientedDetection, o)
	benchmark(b, d, []Tensor{tensor("y", []int64{85, n}, append(values, angles...)...)}, square640, Params{})
}
