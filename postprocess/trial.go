package postprocess

import (
	"fmt"

	"fovea/preprocess/geometry"
)

// Findings are the results of a TrialCheck.
type Findings struct {
	Errors   []error  // the definition is certainly wrong, and nearly every prediction would be
	Warnings []string // the definition may be wrong
	// Doubts are warnings whose only reason is that scores hardly depended on the image. So it is with untrained models, too: a scale
	// that is known to be right is not in doubt.
	Doubts []string
}

func (f *Findings) fail(format string, args ...any) {
	f.Errors = append(f.Errors, fmt.Errorf(format, args...))
}

// doubt adds a warning whose only reason is that scores hardly depended on the image.
func (f *Findings) doubt(format string, args ...any) {
	f.Doubts = append(f.Doubts, fmt.Sprintf(format, args...))
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

// trialRow is a row of a trial run as its decoder reads it, before thresholds.
type trialRow struct {
	scores     []float32                      // perBox numbers for each box, or one for each class of an image
	perBox     int                            // scores of a box, without those of background
	objectness []float32                      // of each box; nil: none
	best       []float32                      // of each box, as a probability: of its best class, times its objectness; filled in by trialCheck
	boxes      []float32                      // four numbers for each box as they are in the output; nil: none
	class      func(i int) (n int64, ok bool) // the number of a box's class in the outputs, false if it is no integer; nil: none
	grid       []float32                      // of YOLOX, not decoded
	transform  geometry.Transform
	side       Side
}

// aspect is a part of a check, about one kind of mistake.
type aspect interface {
	add(row *trialRow)
	findings(f *Findings)
}

// trialCheck reads the rows of trial runs like a decoder and shows them to its aspects.
type trialCheck struct {
	// read returns the row of a decoder's outputs. Its numbers may lie in the scratch.
	read    func(s *scratch, outputs []Tensor) (trialRow, error)
	kind    scoreKind
	aspects []aspect
	scratch scratch
	best    []float32
}

// Add implements TrialCheck.
func (c *trialCheck) Add(outputs []Tensor, transform geometry.Transform, side Side) {
	row, err := c.read(&c.scratch, outputs)
	if err != nil {
		return
	}
	row.transform, row.side = transform, side
	if row.boxes != nil || row.objectness != nil {
		c.best = c.kind.best(c.best[:0], &row)
		row.best = c.best
	}
	for _, a := range c.aspects {
		a.add(&row)
	}
}

// Findings implements TrialCheck.
func (c *trialCheck) Findings() (f Findings) {
	for _, a := range c.aspects {
		a.findings(&f)
	}
	return f
}

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
