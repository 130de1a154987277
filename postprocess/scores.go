package postprocess

import (
	"fmt"
	"math"
)

// maxProbability allows for products rounded in float16.
const maxProbability = 1 + 1e-2

// scoring turns the numbers of an output into probabilities.
type scoring struct {
	output string
	logits bool   // the sigmoid is missing
	bits   uint32 // of the lowest probability of interest
	logit  float32
}

// newScoring returns a scoring that passes over numbers below a threshold.
func newScoring(output string, logits bool, threshold float32) scoring {
	if !logits {
		return scoring{output: output, bits: math.Float32bits(max(threshold, 0) + 0)}
	}
	// Sigmoid is rounded: the bound is somewhat lower, and the probability is compared again. Beyond 15 it may be 1.
	t := float64(min(threshold, 1))
	logit := min(math.Log(t)-math.Log1p(-t), 15)
	return scoring{output: output, logits: true, logit: float32(logit - 1e-3)}
}

// below reports whether a number is valid and certainly below the threshold. Of probabilities, the bits are compared as
// unsigned integers, whose order is that of the numbers from 0 to infinity; those of negative numbers and of NaN are larger.
func (q *scoring) below(v float32) bool {
	if q.logits {
		return v < q.logit
	}
	return math.Float32bits(v) < q.bits
}

// next returns the first index from a given one on whose number is not below; the length of scores if there is none.
func (q *scoring) next(scores []float32, from int) int {
	if q.logits {
		for limit := q.logit; from < len(scores) && scores[from] < limit; {
			from++
		}
		return from
	}
	for limit := q.bits; from < len(scores) && math.Float32bits(scores[from]) < limit; {
		from++
	}
	return from
}

// probability returns the probability that a number stands for.
func (q *scoring) probability(v float32) (float32, error) {
	if q.logits {
		if v != v {
			return 0, notFinite(q.output)
		}
		return float32(sigmoidOf(float64(v))), nil
	}
	if !(v >= 0 && v <= maxProbability) {
		return 0, unusable(fmt.Errorf("output %q has a score of %v; want 0 to 1", q.output, v))
	}
	return v, nil
}

// sigmoidOf returns 1 / (1 + e⁻ᵛ).
func sigmoidOf(v float64) float64 { return 1 / (1 + math.Exp(-v)) }

// best returns the highest of several probabilities and its class, the first of equal ones; -1 and 0 if all are below the
// threshold.
func (q *scoring) best(scores []float32) (class int, best float32, err error) {
	if q.logits {
		return q.bestLogit(scores)
	}
	class = -1
	limit := q.bits // then of the best so far
	for i, v := range scores {
		if math.Float32bits(v) < limit {
			continue
		}
		if !(v >= 0 && v <= maxProbability) {
			_, err := q.probability(v)
			return 0, 0, err
		}
		if class < 0 || v > best {
			class, best = i, v
			limit = math.Float32bits(v + 0) // -0 becomes 0, whose bits are the lowest
		}
	}
	return class, best, nil
}

func (q *scoring) bestLogit(scores []float32) (class int, best float32, err error) {
	class = -1
	limit := q.logit // then the best so far
	for i, v := range scores {
		if v < limit {
			continue
		}
		p, err := q.probability(v)
		if err != nil {
			return 0, 0, err
		}
		if class < 0 || p > best {
			class, best, limit = i, p, v
		}
	}
	return class, best, nil
}
