package postprocess

import (
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// FuzzTasks feeds raw bytes as outputs of the tasks with masks, points, angles, maps, vectors and images: whatever they are, there must be an
// answer that is valid JSON, in every encoding, with masks of the image's size, or an API error.
func FuzzTasks(f *testing.F) {
	for _, c := range taskCases(f) {
		for _, o := range c.Outputs {
			data := bytesOf(f, o.Data)
			for kind := range uint8(fuzzedTasks) {
				f.Add(data[:min(len(data), 1024)], kind, 0.5, 1.0)
			}
			break
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, scale, offset float64) {
		if len(data) > 1<<13 {
			return
		}
		def, outputs := fuzzedTask(kind, data)
		decoder, err := New(def, outputs)
		if err != nil {
			return
		}
		transform := geometry.Transform{Width: 50, Height: 40, InputW: 64, InputH: 32, ScaleX: scale, ScaleY: scale, OffsetX: offset, OffsetY: offset}
		zero := 0.0
		all := []Params{{}, {Score: &zero}, {Encoding: EncodingRLE}, {Encoding: EncodingPolygon}, {Encoding: EncodingPNG}, {Encoding: EncodingRaw}}
		decodeAll(t, decoder, outputs, transform, all, func(answer Prediction) {
			if s, ok := answer.(*Segmented); ok {
				checkMasks(t, s)
			}
			if o, ok := answer.(Objects); ok {
				for i := range o.Len() {
					if b := o.Box(i); !(b.X1 >= 0 && b.X1 < b.X2 && b.X2 <= 50 && b.Y1 >= 0 && b.Y1 < b.Y2 && b.Y2 <= 40) {
						t.Errorf("box %+v", b)
					}
				}
			}
		})
	})
}

func checkMasks(t *testing.T, s *Segmented) {
	for _, b := range s.Boxes {
		sum := 0
		for i, run := range b.Mask.Runs {
			if run == 0 && i > 0 {
				t.Errorf("runs %v", b.Mask.Runs)
			}
			sum += int(run)
		}
		if sum != 50*40 || b.Mask.Area() == 0 {
			t.Errorf("a mask of %d pixels, %d of the image", b.Mask.Area(), sum)
		}
	}
}

const fuzzedTasks = 13

// fuzzedTask cuts data into the outputs of one of the tasks.
func fuzzedTask(kind uint8, data []byte) (repository.Definition, []Tensor) {
	cut := func(name string, n int, shape ...int64) Tensor {
		row := make([]byte, 4*n)
		data = data[copy(row, data):]
		return Tensor{name, repository.Float32, shape, row}
	}
	of := func(task repository.Task, change func(o *repository.Output), outputs ...Tensor) (repository.Definition, []Tensor) {
		d := repository.Definition{Task: task, Input: repository.Input{Width: 64, Height: 32}}
		change(&d.Output)
		return d.WithDefaults(), outputs
	}
	n := len(data) / 4
	objects := int64(min(n/12, 30))
	boxes := func() Tensor { return cut("b", 4*int(objects), objects, 4) }
	scores := func() Tensor { return cut("s", int(objects), objects) }
	finished := func(o *repository.Output) {
		*o = repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", BoxSpace: repository.SpaceInput}
	}
	switch kind % fuzzedTasks {
	case 0:
		return of(repository.OrientedDetection, func(o *repository.Output) { o.Decode = repository.DecodeYOLO }, cut("y", 7*int(objects), objects, 7))
	case 1:
		return of(repository.OrientedDetection, func(o *repository.Output) {
			o.Decode, o.Columns = repository.DecodeRows, []string{"cx", "cy", "w", "h", "score", "class"}
		}, cut("y", 7*int(objects), objects, 7))
	case 2:
		return of(repository.InstanceSegmentation, func(o *repository.Output) { o.Decode, o.Name, o.Mask.Masks = repository.DecodeYOLO, "y", "p" },
			cut("y", 7*int(objects), objects, 7), cut("p", 2*4*8, 2, 4, 8))
	case 3:
		return of(repository.InstanceSegmentation, func(o *repository.Output) { o.Decode, o.Name, o.Mask.Masks = repository.DecodeRows, "y", "p" },
			cut("y", 8*int(objects), objects, 8), cut("p", 2*4*8, 2, 4, 8))
	case 4:
		return of(repository.InstanceSegmentation, func(o *repository.Output) { finished(o); o.Mask.Masks = "m" }, boxes(), scores(), cut("m", 4*int(objects), objects, 1, 2, 2))
	case 5:
		return of(repository.InstanceSegmentation, func(o *repository.Output) {
			finished(o)
			o.Mask = repository.MaskOutput{Masks: "m", Space: repository.MaskInput, Activation: repository.ActivationSigmoid}
		}, boxes(), scores(), cut("m", 6*int(objects), objects, 2, 3))
	case 6:
		return of(repository.Pose, func(o *repository.Output) {
			o.Decode, o.Point.Keypoints = repository.DecodeYOLO, []string{"a", "b"}
		}, cut("y", 11*int(objects), objects, 11))
	case 7:
		return of(repository.Pose, func(o *repository.Output) { finished(o); o.Point.Points, o.Point.Keypoints = "p", []string{"a", "b"} },
			boxes(), scores(), cut("p", 6*int(objects), objects, 2, 3))
	case 8:
		return of(repository.SemanticSegmentation, func(o *repository.Output) { o.Decode = repository.DecodeLogitsMap }, cut("y", n/12*12, int64(n/12), 3, 4))
	case 9:
		return of(repository.SemanticSegmentation, func(o *repository.Output) { o.Decode = repository.DecodeClassMap }, cut("y", n/3*3, int64(n/3), 3))
	case 10:
		return of(repository.Anomaly, func(o *repository.Output) { o.Decode = repository.DecodeMap }, cut("y", n/5*5, int64(n/5), 5))
	case 11:
		return of(repository.Embedding, func(o *repository.Output) { o.Decode = repository.DecodeVector }, cut("y", n, int64(n)))
	default:
		return of(repository.ImageOutput, func(o *repository.Output) { o.Decode = repository.DecodeImage }, cut("y", n/12*12, 3, int64(n/12), 4))
	}
}
