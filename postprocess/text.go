package postprocess

import (
	"fmt"
	"math"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// Recognized holds the text of an image of one line.
type Recognized struct {
	Text string `json:"text"`
	// Score is the mean probability of the characters; 0 without any.
	Score float64 `json:"score"`
}

func (*Recognized) prediction() {}

// sequence decodes the scores of each character at steps along a line, [steps,classes], as CTCLabelDecode of PaddleOCR's
// ppocr/postprocess/rec_postprocess.py does: the best class of each step counts, unless it is a blank or the same as in the step before.
type sequence struct {
	def        repository.Definition
	output     source
	characters []string // by class, from class_first on
}

func newSequence(def repository.Definition, outputs []Tensor) (Decoder, error) {
	s := &sequence{def: def, characters: def.Labels}
	var full []int64
	var err error
	if s.output, full, err = pick(outputs, "output.name", def.Output.Name, floatTypes...); err != nil {
		return nil, err
	}
	shape := repository.Squeeze(full, 2)
	if len(shape) != 2 {
		return nil, fmt.Errorf("output.name: rows of %q in model.onnx have the shape %v; want [steps,classes]", s.output.name, full)
	}
	if len(def.Labels) == 0 {
		return nil, fmt.Errorf("labels: there are no characters")
	}
	if shape[1] < 0 {
		return s, nil
	}
	return s, s.fit(shape[1])
}

// fit compares the number of classes with the characters. One class more than these is a space, as with PaddleOCR's use_space_char.
func (s *sequence) fit(classes int64) error {
	switch n := int64(s.def.Output.ClassFirst + len(s.def.Labels)); classes {
	case n:
	case n + 1:
		s.characters = append(s.def.Labels[:len(s.def.Labels):len(s.def.Labels)], " ")
	default:
		return fmt.Errorf("labels: %s has %d characters, but output %q of model.onnx has %d classes; want %d, or %d if the last is a space",
			s.def.LabelsFile, len(s.def.Labels), s.output.name, classes, n, n+1)
	}
	return nil
}

func (s *sequence) trialCheck() TrialCheck { return sameOnly(s.output) }

// Decode returns the text.
func (s *sequence) Decode(outputs []Tensor, _ geometry.Transform, p Params) (Prediction, error) {
	if err := p.none(); err != nil {
		return nil, err
	}
	mem := scratches.Get().(*scratch)
	defer scratches.Put(mem)
	values, shape, err := s.output.gridOf(&mem.floats, outputs, 2)
	if err != nil {
		return nil, err
	}
	of := *s
	if err := of.fit(shape[1]); err != nil {
		return nil, unusable(err)
	}
	return of.read(values, int(shape[1]))
}

// read reads the text from the scores of all steps.
func (s *sequence) read(values []float32, classes int) (*Recognized, error) {
	var text strings.Builder
	first, last, sum, n := s.def.Output.ClassFirst, -1, 0.0, 0
	for ; len(values) >= classes; values = values[classes:] {
		best := highest(values[:classes])
		if best >= first && best != last {
			score, err := s.probability(values[:classes], best)
			if err != nil {
				return nil, err
			}
			text.WriteString(s.characters[best-first])
			sum += score
			n++
		}
		last = best
	}
	return &Recognized{text.String(), sum / float64(max(n, 1))}, nil
}

// highest returns the first of the highest values. It compares blocks by their maximum, which needs no branches.
func highest(values []float32) int {
	const block = 64
	best, at := values[0], 0
	for from := 0; from < len(values); from += block {
		part := values[from:min(from+block, len(values))]
		a, b := part[0], part[0]
		for ; len(part) >= 2; part = part[2:] {
			a, b = max(a, part[0]), max(b, part[1])
		}
		if len(part) > 0 {
			a = max(a, part[0])
		}
		if a = max(a, b); a > best {
			best, at = a, from
		}
	}
	for i := at; ; i++ {
		if values[i] == best {
			return i
		}
	}
}

// probability is that of a class of a step.
func (s *sequence) probability(step []float32, class int) (float64, error) {
	v := step[class]
	if s.def.Output.Activation == repository.ActivationSoftmax {
		sum := 0.0
		for _, other := range step {
			sum += math.Exp(float64(other - v))
		}
		return 1 / sum, nil
	}
	const slack = 1e-2 // float16 is rounded
	if v < -slack || v > 1+slack {
		return 0, unusable(fmt.Errorf("output %q has the score %g, which is no probability; are the scores logits (output.activation: softmax)?", s.output.name, v))
	}
	return float64(max(0, min(v, 1))), nil
}

// none reports parameters of a request to a model that takes none.
func (p *Params) none() error {
	if p.TopK != 0 || p.Score != nil || p.IoU != nil || len(p.Classes) > 0 || p.MaxBoxes != 0 {
		return apierror.New(apierror.InvalidParameter, "top_k, score_threshold, iou_threshold, classes and max_boxes are for classes and boxes; this model reads text and takes none")
	}
	_, err := p.encoding()
	return err
}
