package postprocess

import (
	"encoding/json"
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Embedded holds the vector of an image.
type Embedded struct {
	Vector []float32
	// Encoding is EncodingList (also empty) or EncodingBase64.
	Encoding string
}

func (*Embedded) prediction() {}

// MarshalJSON writes {"vector":[…]}, or {"vector":"…"} with float32, the lowest byte first, in base64.
func (e *Embedded) MarshalJSON() ([]byte, error) {
	if e.Encoding == EncodingBase64 {
		return json.Marshal(struct {
			Vector []byte `json:"vector"`
		}{littleEndian(e.Vector)})
	}
	return json.Marshal(struct {
		Vector []float32 `json:"vector"`
	}{e.Vector})
}

// Cosine returns the cosine of the angle between two vectors of one length; 0 if one is 0.
func Cosine(a, b []float32) float64 {
	var dot, lengthA, lengthB float64
	for i, v := range a {
		w := float64(b[i])
		dot += float64(v) * w
		lengthA += float64(v) * float64(v)
		lengthB += w * w
	}
	if lengthA == 0 || lengthB == 0 {
		return 0
	}
	return max(-1, min(dot/math.Sqrt(lengthA)/math.Sqrt(lengthB), 1))
}

// embedding decodes a vector, [n].
type embedding struct {
	def    repository.Definition
	output source
}

func newEmbedding(def repository.Definition, outputs []Tensor) (Decoder, error) {
	output, full, err := pick(outputs, "output.name", def.Output.Name, floatTypes...)
	if err == nil && len(repository.Squeeze(full, 1)) != 1 {
		err = fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want a vector", output.name, full)
	}
	if len(def.Labels) > 0 && err == nil {
		err = fmt.Errorf("labels: %s has labels, and vectors have none", def.LabelsFile)
	}
	return &embedding{def, output}, err
}

func (e *embedding) trialCheck() TrialCheck { return sameOnly(e.output) }

// Decode returns the vector, divided by its length unless the definition says otherwise.
func (e *embedding) Decode(outputs []Tensor, _ geometry.Transform, p Params) (Prediction, error) {
	encoding, err := p.withoutObjects(EncodingList, EncodingBase64)
	if err != nil {
		return nil, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	values, t, err := e.output.floatsOf(&s.floats, outputs)
	if err != nil {
		return nil, err
	}
	square := 0.0
	for _, v := range values {
		square += float64(v) * float64(v)
	}
	if !(square > 0 && square <= math.MaxFloat64) && e.def.Output.Dense.Normalize == repository.NormalizeL2 || square-square != 0 {
		return nil, unusable(fmt.Errorf("output %q has no finite length above 0", t.Name))
	}
	length := 1.0
	if e.def.Output.Dense.Normalize == repository.NormalizeL2 {
		length = math.Sqrt(square)
	}
	vector := make([]float32, len(values))
	for i, v := range values {
		vector[i] = float32(float64(v) / length)
	}
	return &Embedded{vector, encoding}, nil
}
