package postprocess

import (
	"encoding/json"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// FuzzDecode feeds raw bytes as outputs of every decoder: whatever they are, there must be an answer that is valid
// JSON with boxes on the image, or an API error.
func FuzzDecode(f *testing.F) {
	_, _, _, g := boxesBus(f)
	f.Add([]byte{}, uint8(0), uint8(1), 1.0, 0.0)
	f.Add(bytesOf(f, g.Outputs["scores"])[:1024], uint8(1), uint8(0), 0.5, 3.0)
	f.Add(bytesOf(f, g.Outputs["boxes"])[:1024], uint8(2), uint8(1), 0.25, -7.0)
	f.Add([]byte{0, 0x3c, 0, 0x3c, 0xff, 0x7f, 0, 0x7c}, uint8(3), uint8(1), 1e-300, 1e300)
	for kind := range uint8(fuzzedKinds) {
		f.Add(bytesOf(f, g.Outputs["boxes"])[:1024], kind, uint8(0), 1.0, 0.0)
	}
	f.Fuzz(func(t *testing.T, data []byte, kind, precision uint8, scale, offset float64) {
		if len(data) > 1<<14 {
			return
		}
		dtype := repository.Float32
		if precision%2 == 1 {
			dtype = repository.Float16
		}
		def, outputs := fuzzed(kind, dtype, data)
		decoder, err := New(def, outputs)
		if err != nil {
			return
		}
		transform := geometry.Transform{Width: 100, Height: 50, InputW: 64, InputH: 32, ScaleX: scale, ScaleY: scale, OffsetX: offset, OffsetY: offset}
		zero := 0.0
		all := []Params{{}, {Score: &zero}, {TopK: 2}, {Classes: []string{"0", "dog"}, MaxBoxes: 2}}
		decodeAll(t, decoder, outputs, transform, all, func(answer Prediction) { onImage(t, answer) })
	})
}

// decodeAll examines outputs as a trial run does, decodes them with each of some parameters, and checks the answers.
func decodeAll(t *testing.T, decoder Decoder, outputs []Tensor, transform geometry.Transform, all []Params, check func(Prediction)) {
	examination := NewTrialCheck(decoder)
	for side := range sides {
		examination.Add(outputs, transform, side)
	}
	_ = examination.Findings() // whatever it finds
	for _, p := range all {
		answer, err := decoder.Decode(outputs, transform, p)
		if err != nil {
			if code := apierror.From(err).Code; code != apierror.Internal && code != apierror.InvalidParameter {
				t.Errorf("fault %s: %v", code, err)
			}
			continue
		}
		if _, err := json.Marshal(answer); err != nil {
			t.Errorf("the answer is no JSON: %v", err)
		}
		check(answer)
	}
}

// fuzzed cuts data into the outputs of one of the decoders.
func fuzzed(kind uint8, dtype repository.DType, data []byte) (repository.Definition, []Tensor) {
	size := dtype.Size()
	cut := func(name string, n int, shape ...int64) Tensor {
		row := make([]byte, n*size)
		data = data[copy(row, data):]
		return Tensor{name, dtype, shape, row}
	}
	def := repository.Definition{Task: repository.Detection, Input: repository.Input{Width: 64, Height: 32}}
	detect := func(o repository.Output, outputs ...Tensor) (repository.Definition, []Tensor) {
		def.Output = o
		return def.WithDefaults(), outputs
	}
	classify := func(decode string, y Tensor) (repository.Definition, []Tensor) {
		def.Task, def.Output.Decode = repository.Classification, decode
		return def.WithDefaults(), []Tensor{y}
	}
	n := len(data) / size
	rows := func(width int) int64 { n /= width; return int64(n) }
	switch kind % fuzzedKinds {
	case 0:
		return classify(repository.DecodeSoftmax, cut("y", n, int64(n)))
	case 1:
		return classify(repository.DecodeProbabilities, cut("y", n, int64(n)))
	case 2:
		return detect(repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{16, 32}}, cut("y", 10*8, 10, 8))
	case 3:
		n /= 6
		def.Labels = []string{"cat", "dog"}
		return detect(repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", Classes: "c", BoxSpace: repository.SpaceUnit, BoxFormat: repository.BoxYXYX},
			cut("b", 4*n, int64(n), 4), cut("s", n, int64(n)), cut("c", n, int64(n)))
	case 4:
		n /= 7
		return detect(repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", BoxSpace: repository.SpaceInput, IoU: 0.5, MultiLabel: true},
			cut("b", 4*n, int64(n), 4), cut("s", 3*n, int64(n), 3))
	case 5:
		return classify(repository.DecodeSigmoid, cut("y", n, int64(n)))
	case 6:
		return detect(repository.Output{Decode: repository.DecodeYOLO}, cut("y", n/6*6, 6, rows(6)))
	case 7:
		def.Labels = []string{"cat", "dog"}
		return detect(repository.Output{Decode: repository.DecodeYOLO, Activation: repository.ActivationSigmoid, MultiLabel: true, NMS: repository.NMSFast},
			cut("y", n/6*6, rows(6), 6))
	case 8:
		return detect(repository.Output{Decode: repository.DecodeYOLOv5, ClassAgnostic: true}, cut("y", n/7*7, rows(7), 7))
	case 9:
		return detect(repository.Output{Decode: repository.DecodeYOLOv5Raw, Strides: []int{16, 32}, Names: []string{"a", "b"}, Anchors: []float64{8, 8, 9, 9}},
			cut("a", 8*7, 1, 2, 4, 7), cut("b", 2*7, 7, 1, 2))
	case 10:
		return detect(repository.Output{Decode: repository.DecodeRows, Columns: []string{"batch", "x1", "y1", "x2", "y2", "class", "score"}}, cut("y", n/7*7, rows(7), 7))
	case 11:
		return detect(repository.Output{Decode: repository.DecodeRows, Columns: []string{"cx", "cy", "w", "h", "score"}, Classes: "c"},
			cut("y", n/6*5, int64(n/6), 5), cut("c", n/6, int64(n/6)))
	case 12:
		return detect(repository.Output{Decode: repository.DecodeDETR, Boxes: "b", Scores: "s"}, cut("b", n/7*4, int64(n/7), 4), cut("s", n/7*3, int64(n/7), 3))
	default:
		return detect(repository.Output{Decode: repository.DecodeDETR, Boxes: "b", Scores: "s", Activation: repository.ActivationSoftmax},
			cut("b", n/7*4, int64(n/7), 4), cut("s", n/7*3, int64(n/7), 3))
	}
}

const fuzzedKinds = 14

func onImage(t *testing.T, answer Prediction) {
	t.Helper()
	switch a := answer.(type) {
	case *Detected:
		for _, b := range a.Boxes {
			if !(b.X1 >= 0 && b.X1 < b.X2 && b.X2 <= 100 && b.Y1 >= 0 && b.Y1 < b.Y2 && b.Y2 <= 50 && b.Score >= 0 && b.Score <= 1) {
				t.Errorf("box %+v", b)
			}
		}
	case *Classified:
		for _, c := range a.Top {
			if !(c.Score >= 0 && c.Score <= 1) {
				t.Errorf("class %+v", c)
			}
		}
	}
}
