package postprocess

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/repository"
)

// limits decide which boxes of an image are detected: those of the definition, and what a request changes.
type limits struct {
	score      float32   // the lowest threshold of any class
	byClass    []float32 // thresholds by class, never where the class is not wanted; nil: score
	others     float32   // threshold of classes that byClass does not have
	iou        float64
	suppress   bool // only the definition decides that; a request only sets the threshold
	fast       bool
	agnostic   bool
	candidates int // that enter suppression
	boxes      int
}

// never is a threshold that no score reaches.
var never = float32(math.Inf(1))

// newLimits returns the limits of a definition whose outputs have a number of labeled classes, 0 where unknown.
func newLimits(def *repository.Definition, classes int) (limits, error) {
	o := &def.Output
	l := limits{iou: o.IoU, suppress: o.Suppresses(), fast: o.NMS == repository.NMSFast, agnostic: o.ClassAgnostic,
		candidates: o.MaxCandidates, boxes: o.MaxBoxes, others: float32(o.Score)}
	for i, t := range o.ClassThresholds {
		class, ok := classNumber(def.Labels, classes, t.Label)
		if !ok {
			return l, fmt.Errorf("output.class_thresholds[%d].label: %q is not a class of the model; allowed: %s", i, t.Label, allowedClasses(def.Labels, classes))
		}
		l.setClass(class, float32(t.Score), l.others)
	}
	l.lowest()
	return l, nil
}

// setClass sets the threshold of a class; classes below it that have none yet get other.
func (l *limits) setClass(class int, threshold, other float32) {
	for len(l.byClass) <= class {
		l.byClass = append(l.byClass, other)
	}
	l.byClass[class] = threshold
}

func (l *limits) lowest() {
	l.score = l.others
	for _, t := range l.byClass {
		l.score = min(l.score, t)
	}
}

// reached reports whether a score reaches the threshold of its class.
func (l *limits) reached(class int, score float32) bool { return score >= l.of(class) }

// of returns the threshold of a class.
func (l *limits) of(class int) float32 {
	if class < len(l.byClass) {
		return l.byClass[class]
	}
	return l.others
}

// classNumber returns the number of a class given by its label or its number.
func classNumber(labels []string, classes int, text string) (int, bool) {
	if i := slices.Index(labels, text); i >= 0 && text != "" {
		return i, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n < classCount(labels, classes)
}

func classCount(labels []string, classes int) int {
	switch {
	case classes > 0:
		return classes
	case len(labels) > 0:
		return len(labels)
	}
	return repository.MaxLabels
}

// allowedClasses describes what classNumber accepts.
func allowedClasses(labels []string, classes int) string {
	const shown = 20
	numbers := fmt.Sprintf("numbers from 0 to %d", classCount(labels, classes)-1)
	switch n := len(labels); {
	case n == 0:
		return numbers
	case n <= shown:
		return strings.Join(labels, ", ") + ", or " + numbers
	default:
		return fmt.Sprintf("%s and %d more labels, or %s", strings.Join(labels[:shown], ", "), n-shown, numbers)
	}
}

// detection applies a request to the limits of a definition.
func (p *Params) detection(l limits, labels []string, classes int) (limits, error) {
	if p.TopK != 0 {
		return l, apierror.New(apierror.InvalidParameter,
			"top_k is for classification; this model detects and takes score_threshold, iou_threshold, classes and max_boxes")
	}
	if p.Score != nil {
		if !(*p.Score >= 0 && *p.Score <= 1) {
			return l, apierror.New(apierror.InvalidParameter, "score_threshold: %v is out of range (0–1)", *p.Score)
		}
		l.byClass, l.others = nil, float32(*p.Score)
		l.lowest()
	}
	if p.MaxBoxes != 0 {
		if p.MaxBoxes < 1 || p.MaxBoxes > MaxBoxes {
			return l, apierror.New(apierror.InvalidParameter, "max_boxes: %d is out of range (1–%d)", p.MaxBoxes, MaxBoxes)
		}
		l.boxes = p.MaxBoxes
	}
	if len(p.Classes) > 0 {
		if err := l.only(p.Classes, labels, classes); err != nil {
			return l, err
		}
	}
	return l, p.overlap(&l)
}

// only restricts the limits to classes, given by label or number; a text that is neither is a list of these, separated by
// commas, so that labels may contain commas.
func (l *limits) only(wanted, labels []string, classes int) error {
	all := *l
	l.byClass, l.others = nil, never
	for _, text := range wanted {
		if class, ok := classNumber(labels, classes, text); ok {
			l.setClass(class, all.of(class), never)
			continue
		}
		for part := range strings.SplitSeq(text, ",") {
			class, ok := classNumber(labels, classes, strings.TrimSpace(part))
			if !ok {
				return apierror.New(apierror.InvalidParameter, "classes: %s is not a class of the model; allowed: %s",
					apierror.Quote(strings.TrimSpace(part)), allowedClasses(labels, classes))
			}
			l.setClass(class, all.of(class), never)
		}
	}
	l.lowest()
	return nil
}

func (p *Params) overlap(l *limits) error {
	switch {
	case p.IoU == nil:
		return nil
	case !l.suppress:
		return apierror.New(apierror.InvalidParameter, "iou_threshold is for models with non-maximum suppression; "+
			"the boxes of this one are final, and it takes score_threshold")
	case !(*p.IoU >= 0 && *p.IoU <= 1):
		return apierror.New(apierror.InvalidParameter, "iou_threshold: %v is out of range (0–1)", *p.IoU)
	}
	l.iou = *p.IoU
	return nil
}
