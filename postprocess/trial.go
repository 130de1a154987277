package postprocess

import (
	"fmt"
	"math"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Findings are the results of a TrialCheck.
type Findings struct {
	Errors   []error  // the definition is certainly wrong, and nearly every prediction would be
	Warnings []string // the definition may be wrong
}

func (f *Findings) fail(format string, args ...any) {
	f.Errors = append(f.Errors, fmt.Errorf(format, args...))
}

func (f *Findings) warn(format string, args ...any) {
	f.Warnings = append(f.Warnings, fmt.Sprintf(format, args...))
}

// judge adds an error if it is certain, else a warning.
func (f *Findings) judge(certain bool, format string, args ...any) {
	if certain {
		f.fail(format, args...)
		return
	}
	f.warn(format, args...)
}

// Side is the side of a trial image that has content; the rest is plain.
type Side int

// The sides of an image.
const (
	Everywhere Side = iota
	Left
	Right
	Top
	Bottom
	sides
)

// TrialCheck compares a definition with the outputs of trial runs. The predictions of a wrong definition often look
// plausible: boxes that are decoded twice, softmax applied to probabilities. Enough raw numbers reveal it. It is not safe for
// concurrent use.
type TrialCheck interface {
	// Add adds the outputs of one row of a trial run, in the order that [New] describes, with the transform of its image and the
	// side that has content. Rows that the decoder cannot read are ignored.
	Add(outputs []Tensor, transform geometry.Transform, side Side)
	// Findings returns the results of all trial runs.
	Findings() Findings
}

// NewTrialCheck starts a check of the definition of a decoder.
func NewTrialCheck(d Decoder) TrialCheck { return d.trialCheck() }

// span is the range and count of numbers. Those that are not finite are counted separately.
type span struct {
	low, high float64
	n         int
	notFinite int
}

func (s *span) add(values ...float32) {
	for _, v32 := range values {
		v := float64(v32)
		switch {
		case v-v != 0:
			s.notFinite++
			continue
		case s.n == 0:
			s.low, s.high = v, v
		}
		s.low, s.high = min(s.low, v), max(s.high, v)
		s.n++
	}
}

// within reports whether all numbers lie between low and high, with some slack.
func (s *span) within(low, high, slack float64) bool {
	return s.n > 0 && s.low >= low-slack && s.high <= high+slack
}

// scores checks numbers that must be probabilities. all says that the output has the scores of all cells or classes, not only
// of detections, which may be above a threshold.
func (s *span) scores(f *Findings, key, output string, all bool) {
	switch {
	case s.n > 0 && !s.within(0, 1, maxProbability-1):
		f.fail("%s: output %q must hold probabilities, but its scores ranged from %.4g to %.4g in trial runs; if they are logits, "+
			"export the model with its sigmoid or softmax", key, output, s.low, s.high)
	case all && s.n >= manyScores && s.high > s.low && s.within(0.5, sigmoidOfOne, 1e-6):
		f.warn("%s: all scores of output %q were between 0.5 and %.3f in trial runs, as after two sigmoids",
			key, output, sigmoidOfOne)
	}
	if s.notFinite > 0 {
		f.warn("%s: output %q had values that are not finite in trial runs; such images get an error", key, output)
	}
}

const (
	manyScores   = 32                 // too many to be alike by chance
	sigmoidOfOne = 0.7310585786300049 // 1 / (1 + e⁻¹)
)

// classifierChecker checks classification.
type classifierChecker struct {
	c      *classifier
	values span
	rows   int
	sums   int // rows that add up to 1
	first  []float32
	varies bool // rows differ
	buffer []float32
}

func (c *classifier) trialCheck() TrialCheck {
	if c.sigmoid {
		return noCheck{}
	}
	return &classifierChecker{c: c}
}

func (e *classifierChecker) Add(outputs []Tensor, _ geometry.Transform, _ Side) {
	t, err := e.c.scores.read(outputs)
	if err != nil {
		return
	}
	var values []float32
	values, e.buffer = t.floats(e.buffer)
	e.values.add(values...)
	if !allFinite(values) {
		return
	}
	tolerance := 1e-3
	if t.DType == repository.Float16 {
		tolerance = 1e-2 // each of many numbers is rounded
	}
	sum := 0.0
	for _, v := range values {
		sum += float64(v)
	}
	if math.Abs(sum-1) <= tolerance {
		e.sums++
	}
	if e.rows == 0 {
		e.first = append(e.first, values...)
	}
	for i, v := range values {
		e.varies = e.varies || i >= len(e.first) || math.Abs(float64(v-e.first[i])) > tolerance
	}
	e.rows++
}

func (e *classifierChecker) Findings() (f Findings) {
	output := e.c.scores.name
	unit := e.values.within(0, 1, 1e-4)
	switch {
	case e.rows == 0 || len(e.first) < 2:
	case !e.c.softmax:
		if !e.values.within(0, 1, 1e-2) {
			f.fail("output.decode: says probabilities, but the scores of output %q ranged from %.4g to %.4g in trial runs; if they are "+
				"logits, it must be softmax", output, e.values.low, e.values.high)
		}
	case unit && e.sums == e.rows:
		f.judge(e.varies && e.rows > 1, "output.decode: says softmax, but the scores of output %q are probabilities already: "+
			"they lie between 0 and 1 and add up to 1 in every trial run; it must be probabilities", output)
	case unit && e.values.low > 0 && e.varies && len(e.first) >= 5 && e.values.n >= 2*manyScores/3: // ReLU gives 0, and a sigmoid does not
		f.warn("output.decode: says softmax, but all scores of output %q lie between 0 and 1 in trial runs; if they went through "+
			"a sigmoid, it must be probabilities", output)
	}
	if e.values.notFinite > 0 {
		f.warn("output.name: output %q had values that are not finite in trial runs; such images get an error", output)
	}
	return f
}
