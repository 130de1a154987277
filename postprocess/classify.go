package postprocess

import (
	"errors"
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// classifier decodes one score per class.
type classifier struct {
	def              repository.Definition
	scores           source
	classes          int64 // -1: open
	softmax, sigmoid bool  // neither: probabilities
}

func newClassifier(def repository.Definition, outputs []Tensor) (Decoder, error) {
	scores, shape, err := pick(outputs, "output.name", def.Output.Name, floatTypes...)
	if err != nil {
		return nil, err
	}
	flat := repository.Squeeze(shape, 1)
	if len(flat) != 1 {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want one score per class, such as [1000] or [1000 1 1]",
			scores.name, shape)
	}
	decode := def.Output.Decode
	c := &classifier{def, scores, flat[0], decode == repository.DecodeSoftmax, decode == repository.DecodeSigmoid}
	return c, checkClasses(&def, scores.name, c.classes)
}

// Decode returns the best classes.
func (c *classifier) Decode(outputs []Tensor, _ geometry.Transform, p Params) (Prediction, error) {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	values, t, err := c.scores.floatsOf(&s.floats, outputs)
	if err != nil {
		return nil, err
	}
	first := c.def.Output.ClassFirst
	if c.classes < 0 {
		if err := checkClasses(&c.def, t.Name, int64(len(values))); err != nil {
			return nil, unusable(err)
		}
	} else if int64(len(values)) != c.classes {
		return nil, unusable(fmt.Errorf("output %q has %d scores; it had %d classes at load", t.Name, len(values), c.classes))
	}
	topK, err := p.classification(&c.def.Output, len(values)-first)
	if err != nil {
		return nil, err
	}
	if !allFinite(values) {
		return nil, notFinite(t.Name)
	}
	probability, err := c.scale(values)
	if err != nil {
		return nil, err
	}
	best := c.best(s, values[first:], topK, probability)
	if p.All {
		best.Scores = make([]float32, len(values)-first)
		for i, v := range values[first:] {
			best.Scores[i] = float32(probability(v))
		}
	}
	return best, nil
}

// best takes the topK highest of values.
func (c *classifier) best(s *scratch, values []float32, topK int, probability func(float32) float64) *Classified {
	s.ranking = best(values, topK, s.ranking)
	top := make([]Class, topK)
	for i, r := range s.ranking {
		top[i] = Class{int(r.index), label(c.def.Labels, int(r.index)), probability(r.score)}
	}
	return &Classified{Top: top}
}

// scale returns the function from a value to its probability: softmax, exp(v − max) / Σ exp(vᵢ − max), which cannot overflow,
// the sigmoid of each, or the value itself.
func (c *classifier) scale(values []float32) (func(float32) float64, error) {
	if c.sigmoid {
		return func(v float32) float64 { return sigmoidOf(float64(v)) }, nil
	}
	low, high := values[0], values[0]
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if !c.softmax {
		const slack = 1e-2 // float16 is rounded
		if low < -slack || high > 1+slack {
			return nil, unusable(errors.New("output.decode says probabilities, but scores are not within 0 to 1; are they logits (softmax, or sigmoid with independent classes)?"))
		}
		return func(v float32) float64 { return float64(max(0, min(v, 1))) }, nil
	}
	sum := 0.0
	for _, v := range values {
		sum += math.Exp(float64(v - high))
	}
	return func(v float32) float64 { return math.Exp(float64(v-high)) / sum }, nil
}

// allFinite uses that v − v is 0 for a finite v and NaN otherwise.
func allFinite(values []float32) bool {
	var sum float32
	for _, v := range values {
		sum += v - v
	}
	return sum == 0
}
