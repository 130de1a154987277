package postprocess

import (
	"math"
	"slices"
	"strconv"

	"fovea/internal/repository"
)

func whole(n int) string { return strconv.Itoa(n) }

// classesCheck is the aspect of a classifier's scores.
type classesCheck struct {
	c      *classifier
	values span
	rows   int
	sums   int // rows that add up to 1
	first  []float32
	varies bool // rows differ
}

func (e *classesCheck) add(row *trialRow) {
	values := row.scores
	e.values.add(values...)
	if !allFinite(values) {
		return
	}
	tolerance := 1e-3
	if e.c.scores.dtype == repository.Float16 {
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

func (e *classesCheck) findings(f *Findings) {
	output, decode := e.c.scores.name, e.c.def.Output.Decode
	unit := e.values.within(0, 1, 1e-4)
	switch {
	case e.rows == 0 || len(e.first) < 2:
	case decode == repository.DecodeProbabilities:
		if !e.values.within(0, 1, 1e-2) {
			f.fail("output.decode: says probabilities, but the scores of output %q ranged from %.4g to %.4g in trial runs; if they are "+
				"logits, try output.decode: softmax, or sigmoid if classes are independent", output, e.values.low, e.values.high)
		}
	case unit && e.sums == e.rows:
		f.judge(e.varies && e.rows > 1, "output.decode: says %s, but the scores of output %q are probabilities already: "+
			"they lie between 0 and 1 and add up to 1 in every trial run; try output.decode: probabilities", decode, output)
	case unit && e.values.low > 0 && e.varies && len(e.first) >= 5 && e.values.n >= 2*manyScores/3: // ReLU gives 0, and a sigmoid does not
		f.warn("output.decode: says %s, but all scores of output %q lie between 0 and 1 in trial runs; if they went through "+
			"a sigmoid, try output.decode: probabilities", decode, output)
	}
	if e.values.notFinite > 0 {
		notFiniteFindings(f, &e.values, "output.name", output)
	}
}

// sameCheck is the aspect of models whose outputs do not depend on the image.
type sameCheck struct {
	output string
	first  []float32 // the numbers of the first row
	rows   int
	same   bool // all rows are equal, and have numbers
}

func (e *sameCheck) add(row *trialRow) {
	all := [][]float32{row.scores, row.objectness, row.boxes, row.grid}
	if e.rows == 0 {
		e.same = len(row.scores) > 0 && allFinite(row.scores)
		for _, values := range all {
			e.first = append(e.first, values...)
		}
	}
	e.rows++
	rest := e.first
	for _, values := range all {
		e.same = e.same && len(values) <= len(rest) && slices.Equal(values, rest[:len(values)])
		if e.same {
			rest = rest[len(values):]
		}
	}
	e.same = e.same && len(rest) == 0
}

func (e *sameCheck) findings(f *Findings) {
	if e.same && e.rows > 2 {
		f.warn("input: output %q was the same for each of %d different images in trial runs; check input.name, input.scale, input.mean and "+
			"input.std, and the weights", e.output, e.rows)
	}
}
