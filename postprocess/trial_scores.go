package postprocess

import (
	"math"
	"strings"

	"fovea/internal/repository"
)

const (
	manyScores   = 32                 // too many to be alike by chance
	allScores    = 1000               // too many for logits that are all above 0
	sigmoidOfOne = 0.7310585786300049 // 1 / (1 + e⁻¹)
	fewBefore    = 5                  // boxes before the first labeled class that are no chance

	tfClasses = "detection_classes" // the output of TensorFlow's Object Detection API
)

// scoreKind is what the scores of an output are.
type scoreKind int

const (
	probabilities scoreKind = iota
	sigmoidLogits
	softmaxLogits // the last of a box is no object
)

// best appends the probability of the best class of each box, times its objectness.
func (k scoreKind) best(to []float32, row *trialRow) []float32 {
	if row.perBox == 0 {
		return to
	}
	for i := range len(row.scores) / row.perBox {
		scores := row.scores[i*row.perBox : (i+1)*row.perBox]
		objectness := float32(1)
		if row.objectness != nil {
			objectness = k.probability(row.objectness[i])
		}
		to = append(to, objectness*k.bestOf(scores))
	}
	return to
}

func (k scoreKind) probability(v float32) float32 {
	if k == probabilities {
		return v
	}
	return float32(sigmoidOf(float64(v)))
}

// bestOf returns the probability of the best of the scores of a box.
func (k scoreKind) bestOf(scores []float32) float32 {
	high := float32(math.Inf(-1))
	for _, v := range scores {
		high = max(high, v)
	}
	if k != softmaxLogits {
		return k.probability(high)
	}
	sum, best := 0.0, float32(math.Inf(-1))
	for i, v := range scores {
		sum += math.Exp(float64(v - high))
		if i < len(scores)-1 {
			best = max(best, v)
		}
	}
	return float32(math.Exp(float64(best-high)) / sum)
}

// boxScoresCheck is the aspect of the scores of boxes.
type boxScoresCheck struct {
	def    *repository.Definition
	kind   scoreKind
	key    string
	output string
	all    bool // the output has the scores of all cells or queries, not only of detections, which may be above a threshold
	padded bool // scores below 0 are padding
	scores span
	sums   int // boxes whose scores lie between 0 and 1 and add up to 1
	boxes  int
}

func (e *boxScoresCheck) add(row *trialRow) {
	for _, values := range [][]float32{row.objectness, row.scores} {
		for _, v := range values {
			if e.padded && v < 0 {
				continue
			}
			e.scores.add(v)
		}
	}
	if e.kind == softmaxLogits && row.perBox > 1 {
		for at := 0; at < len(row.scores); at += row.perBox {
			e.boxes++
			if areProbabilities(row.scores[at:at+row.perBox], 1e-2) {
				e.sums++
			}
		}
	}
}

// areProbabilities reports whether values lie between 0 and 1 and add up to 1.
func areProbabilities(values []float32, tolerance float64) bool {
	sum := 0.0
	for _, v := range values {
		if !(v >= -1e-4 && v <= 1+1e-4) {
			return false
		}
		sum += float64(v)
	}
	return math.Abs(sum-1) <= tolerance
}

func (e *boxScoresCheck) findings(f *Findings) {
	if e.scores.notFinite > 0 {
		notFiniteFindings(f, &e.scores, e.key, e.output)
	}
	varied := e.scores.n >= manyScores && e.scores.high > e.scores.low
	switch {
	case e.kind == probabilities && e.scores.n > 0 && !e.scores.within(0, 1, maxProbability-1):
		f.fail("%s: output %q must hold probabilities, but its scores ranged from %.4g to %.4g in trial runs; %s",
			e.key, e.output, e.scores.low, e.scores.high, e.logitsHint())
	case e.kind == probabilities && e.all && varied && e.scores.within(0.5, sigmoidOfOne, 1e-6):
		f.warn("%s: all scores of output %q were between 0.5 and %.3f in trial runs, as after two sigmoids%s",
			e.key, e.output, sigmoidOfOne, e.twice())
	case e.kind == sigmoidLogits && e.all && varied && e.scores.within(0, 1, 1e-6) && e.scores.low >= 0:
		f.judge(e.scores.n >= allScores, "output.activation: says sigmoid, but all scores of output %q lie between 0 and 1 in trial runs, "+
			"as after a sigmoid; %s", e.output, e.without())
	case e.kind == softmaxLogits && e.boxes > 0 && e.sums == e.boxes:
		f.judge(varied && e.boxes >= manyScores, "output.activation: says softmax, but the scores of output %q are probabilities already: those of each query "+
			"lie between 0 and 1 and add up to 1; %s", e.output, e.without())
	}
}

// logitsHint says what to try if probabilities are logits.
func (e *boxScoresCheck) logitsHint() string {
	switch o := e.def.Output; o.Decode {
	case repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeYOLOv5Raw:
		return "if they are logits, try output.activation: sigmoid"
	case repository.DecodeRows:
		return "check which of output.columns is the score"
	case repository.DecodeBoxes:
		return "if they are logits, try output.decode: detr, or export the model with its sigmoid or softmax"
	}
	return "if they are logits, export the model with its sigmoid"
}

// twice says what to try if a sigmoid was applied twice to the scores.
func (e *boxScoresCheck) twice() string {
	if e.def.Output.Activation == repository.ActivationSigmoid {
		return "; try output.activation: none"
	}
	return ""
}

// without says what to try if logits are probabilities.
func (e *boxScoresCheck) without() string {
	if e.def.Output.Decode == repository.DecodeDETR {
		return "try output.decode: boxes"
	}
	return "try output.activation: none"
}

// labelsCheck is the aspect of class numbers.
type labelsCheck struct {
	def     *repository.Definition
	key     string // of the classes
	output  string
	classes span // counted from the first labeled one
	first   bool // one of them is the first labeled one
	before  int  // boxes of a class before that
	none    bool // a class is not an integer
	bad     bool // a box with such a class reaches the score threshold
	sure    bool // a box with a class beyond the labels reaches the score threshold
	dropped bool // a box of background reaches it
}

func (e *labelsCheck) add(row *trialRow) {
	if row.class == nil {
		return
	}
	for i, score := range row.best {
		if score <= 0 {
			continue // padding
		}
		reached := float64(score) >= e.def.Output.Score
		n, ok := row.class(i)
		if !ok {
			e.none, e.bad = true, e.bad || reached
			continue
		}
		class := n - int64(e.def.Output.ClassFirst)
		e.classes.add(float32(class))
		e.first = e.first || class == 0
		e.dropped = e.dropped || class < 0 && reached
		if class < 0 {
			e.before++
		}
		e.sure = e.sure || reached && class >= int64(len(e.def.Labels))
	}
}

func (e *labelsCheck) findings(f *Findings) {
	labels, first := float64(len(e.def.Labels)), e.def.Output.ClassFirst
	if e.none {
		f.judge(e.bad, "%s: output %q must hold class numbers, but had others in trial runs", e.key, e.output)
	}
	switch {
	case e.classes.n == 0:
	case labels > 0 && e.classes.high >= labels:
		hint := "; check labels"
		if e.classes.high == labels && !e.first {
			hint = " and labels; try output.class_first: " + whole(first+1)
		}
		f.judge(e.sure, "output.class_first: output %q had class %v in trial runs, but %s has %v labels, the first for class %d%s",
			e.output, e.classes.high+float64(first), e.def.LabelsFile, labels, first, hint)
	case first > 0 && (e.dropped || e.before >= fewBefore && float64(e.before)*labels >= float64(e.classes.n)) && e.classes.high < labels-1:
		f.warn("output.class_first: says %d, but output %q had boxes of class %v in trial runs, which are dropped as background; if that "+
			"is the first label, try output.class_first: %d", first, e.output, e.classes.low+float64(first), int(e.classes.low)+first)
	case first == 0 && strings.Contains(e.output, tfClasses) && !e.first && e.classes.n >= manyScores:
		f.warn("output.class_first: says 0, but output %q had no box of class 0 in trial runs, and classes of TensorFlow's Object "+
			"Detection API, which has that name for them, count from 1; try output.class_first: 1", e.output)
	}
}

// notFiniteFindings reports scores that are not finite: an error if no score of any trial run is.
func notFiniteFindings(f *Findings, s *span, key, output string) {
	if s.n == 0 {
		f.fail("%s: output %q contains NaN or infinities only, whatever the image; check the weights, and input.scale, input.mean and input.std", key, output)
		return
	}
	f.warn("%s: output %q had values that are not finite in trial runs; such images get an error", key, output)
}
